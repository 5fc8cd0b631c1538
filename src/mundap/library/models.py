"""What is on the shelf.

Collection   what one talks to: a set of official documentation, or a team's reference
Document     one page or file of a collection, at its `path` below the source's root
Passage      the unit of retrieval and citation: some text under a trail of headings
Embedding    a passage's vector by one model
Summary      what the chat model made of some passages in a row, wherever these stand
Family       the collections that are versions of one documentation; one of them is current
StoredFile   a file that a person gave, from which a document is read
Run          one time that a collection is brought up to date with its source
RunPage      what a run has to do for one page, and what became of it
RunFile      a file that pages of a run include
Worker       a process that does such work, and when it was last heard of
HostPace     when a host of other people's may be asked for its next page

A passage whose `lexical` vector is missing is work for retrieval's indexing; this app does not know how it is made.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _
from pgvector.django import HalfVectorField, SparseVectorField
from uuid_utils.compat import uuid7

OFFICIAL_DOCS = "OFFICIAL_DOCS"
# The most that pgvector's sparsevec has; terms are hashed into it.
LEXICAL_DIMENSIONS = 1_000_000_000


class Collection(models.Model):
    """A named set of documents with an owner and a visibility."""

    class Visibility(models.TextChoices):
        EVERYONE = "everyone", _("everyone")
        GROUP = "group", _("a group")
        PRIVATE = "private", _("only the owner")

    class State(models.TextChoices):
        EMPTY = "empty", _("empty")
        INGESTING = "ingesting", _("being read")
        READY = "ready", _("ready")
        FAILED = "failed", _("could not be read")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    category = models.CharField(_("category"), max_length=100, default=OFFICIAL_DOCS)
    title_no = models.PositiveIntegerField(_("number"))
    title = models.CharField(_("title"), max_length=200)
    slug = models.SlugField(_("short name"), max_length=100, unique=True)
    language = models.CharField(_("language"), max_length=10, default="en")
    version = models.CharField(_("version"), max_length=50, blank=True)
    home_page = models.URLField(_("home page"), max_length=500, blank=True)
    licence = models.CharField(_("licence"), max_length=200, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("owner"),
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="collections",
    )
    visibility = models.CharField(
        _("who sees it"), max_length=10, choices=Visibility, default=Visibility.PRIVATE
    )
    group = models.ForeignKey(
        Group, verbose_name=_("group"), on_delete=models.SET_NULL, null=True, blank=True
    )
    family = models.SlugField(
        max_length=100,
        blank=True,
        help_text="Short name that its versions share; its own if empty.",
    )
    is_current = models.BooleanField(
        _("current version"), default=True, help_text="The version that people are offered first."
    )
    source = models.CharField(_("source"), max_length=1000, blank=True)
    refresh_days = models.PositiveSmallIntegerField(
        _("days between refreshes"), default=0, help_text=_("0: only when somebody asks for it.")
    )
    base_url = models.URLField(_("published at"), max_length=500, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.EMPTY)
    error = models.TextField(_("error"), blank=True)
    documents_done = models.PositiveIntegerField(default=0)
    documents_total = models.PositiveIntegerField(default=0)
    ingested_at = models.DateTimeField(_("brought up to date"), null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("collection")
        verbose_name_plural = _("collections")
        ordering = ["category", "title_no"]
        constraints = [
            models.UniqueConstraint(
                fields=["category", "title_no"], name="collection_number_in_category"
            ),
            models.CheckConstraint(
                condition=models.Q(visibility="everyone")
                | models.Q(owner__isnull=False)
                | models.Q(group__isnull=False),
                name="collection_seen_by_somebody",
            ),
            models.UniqueConstraint(
                fields=["family"],
                condition=models.Q(is_current=True),
                name="collection_current_in_family",
            ),
        ]

    def __str__(self) -> str:
        return self.title

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store it; one that shares no family name is a family of its own."""
        self.family = self.family or self.slug
        super().save(*args, **kwargs)


class Document(models.Model):
    """One page or file; `text` is the whole of it as plain text, which passages point into."""

    class State(models.TextChoices):
        READY = "ready", _("ready")
        STALE = "stale", _("could not be fetched again")
        FAILED = "failed", _("could not be read")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    collection = models.ForeignKey(
        Collection, verbose_name=_("collection"), on_delete=models.CASCADE, related_name="documents"
    )
    path = models.CharField(_("path"), max_length=1000)
    url = models.URLField(_("address"), max_length=2000, blank=True)
    title = models.CharField(_("title"), max_length=500, blank=True)
    text = models.TextField(blank=True)
    format = models.CharField(max_length=50, blank=True, help_text="Name of its parser.")
    size_bytes = models.PositiveIntegerField(default=0)
    content_hash = models.CharField(
        max_length=64, help_text="of the file's bytes, parser and chunker; empty: to be read anew"
    )
    read_with = models.CharField(
        max_length=64, blank=True, help_text="Digest of the parser, the chunker and their settings."
    )
    # Of the reply that it was read from, so that the next run can ask whether it has changed.
    etag = models.CharField(max_length=500, blank=True)
    last_modified = models.CharField(max_length=100, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.READY)
    error = models.TextField(_("error"), blank=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("document")
        verbose_name_plural = _("documents")
        ordering = ["path"]
        constraints = [models.UniqueConstraint(fields=["collection", "path"], name="document_path")]

    def __str__(self) -> str:
        return self.path


class Passage(models.Model):
    """Some text of a document under its headings; `start` and `end` are characters of the document's text."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="passages")
    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="passages")
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=20, default="text")
    headings = ArrayField(models.TextField(), default=list)
    anchor = models.CharField(max_length=500, blank=True)
    text = models.TextField()
    links = models.JSONField(default=list, help_text="[[start, end, address], …] in the text")
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField()
    content_hash = models.CharField(max_length=64)
    lexical = SparseVectorField(dimensions=LEXICAL_DIMENSIONS, null=True)
    lexical_version = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["document", "position"]
        indexes = [
            models.Index(fields=["document", "position"], name="passage_in_document"),
            models.Index(fields=["collection", "lexical_version"], name="passage_to_index"),
        ]

    def __str__(self) -> str:
        return " › ".join(self.headings)


class Embedding(models.Model):
    """A passage's vector by one model; its collection stands here too, so that a search filters without a join."""

    passage = models.ForeignKey(Passage, on_delete=models.CASCADE, related_name="embeddings")
    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="+")
    model = models.CharField(max_length=200)
    vector = HalfVectorField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["passage", "model"], name="embedding_by_model")
        ]
        indexes = [models.Index(fields=["collection", "model"], name="embedding_of_collection")]

    def __str__(self) -> str:
        return f"{self.passage_id} by {self.model}"


class Summary(models.Model):
    """What the chat model made of some passages, in one language: of their content, whichever collection has them.

    While it is made its `maker` extends the lease; whoever finds it run out may make it instead, beginning with the
    `replies` that there are. Citations have the places of passages, not their ids.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("not begun")
        MAKING = "making", _("being made")
        READY = "ready", _("ready")
        FAILED = "failed", _("failed")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    content_hash = models.CharField(max_length=64)
    lead_hash = models.CharField(max_length=64, help_text="The content hash of the first passage.")
    language = models.CharField(max_length=10)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    text = models.TextField(blank=True)
    citations = models.JSONField(default=list, help_text="see chats.summaries")
    model = models.CharField(max_length=200, blank=True, help_text="Who wrote it.")
    error = models.JSONField(null=True, help_text="code, message and status")
    replies = models.JSONField(
        default=dict, help_text="The model's, by the digest of what was asked."
    )
    calls = models.PositiveSmallIntegerField(default=0, help_text="Of the model, in all.")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    maker = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    made_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["content_hash", "language"], name="summary_of_content")
        ]

    def __str__(self) -> str:
        return f"{self.content_hash[:8]} {self.language} ({self.state})"


class StoredFile(models.Model):
    """A file as a person gave it, at its path among the others of the collection."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    collection = models.ForeignKey(
        Collection, verbose_name=_("collection"), on_delete=models.CASCADE, related_name="files"
    )
    path = models.CharField(_("path"), max_length=1000)
    content = models.BinaryField()
    size_bytes = models.PositiveIntegerField()
    given_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("given by"),
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("file")
        verbose_name_plural = _("files")
        ordering = ["path"]
        constraints = [
            models.UniqueConstraint(fields=["collection", "path"], name="stored_file_path")
        ]

    def __str__(self) -> str:
        return self.path


class Worker(models.Model):
    """A process that works off runs. What it has begun is its own while it is heard of."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200, help_text="Machine and process, for people.")
    is_command = models.BooleanField(help_text="It works for one command, and then ends.")
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class Run(models.Model):
    """One time that a collection is brought up to date; a collection has one unfinished run at most."""

    class Trigger(models.TextChoices):
        PERSON = "person", _("asked for")
        COMMAND = "command", _("by the command line")
        UPLOAD = "upload", _("after an upload")
        SCHEDULE = "schedule", _("due")

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        OPENING = "opening", _("looking what there is")
        READING = "reading", _("reading")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")

    UNFINISHED = (State.WAITING, State.OPENING, State.READING)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    collection = models.ForeignKey(
        Collection, verbose_name=_("collection"), on_delete=models.CASCADE, related_name="runs"
    )
    trigger = models.CharField(_("occasion"), max_length=10, choices=Trigger)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("asked for by"),
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
    )
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.WAITING)
    error = models.TextField(_("error"), blank=True)
    is_wanted_again = models.BooleanField(
        default=False, help_text="Something changed meanwhile: another run follows this one."
    )
    worker = models.ForeignKey(
        Worker,
        verbose_name=_("worker"),
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        help_text=_("Who opens the source."),
    )
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    # What all pages are read with: the source's settings and the titles that links show.
    context = models.JSONField(default=dict)
    counts = models.JSONField(
        default=dict, help_text="Pages by what became of them, once finished."
    )
    created_at = models.DateTimeField(_("asked for"), auto_now_add=True)
    started_at = models.DateTimeField(_("begun"), null=True)
    ended_at = models.DateTimeField(_("ended"), null=True)

    class Meta:
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["collection", "-created_at"], name="run_of_collection")]
        constraints = [
            models.UniqueConstraint(
                fields=["collection"],
                condition=models.Q(state__in=["waiting", "opening", "reading"]),
                name="run_one_unfinished",
            )
        ]

    def __str__(self) -> str:
        return f"{self.collection_id} {self.state}"


class RunPage(models.Model):
    """One page's work in a run; `content` is there until it is read, or its `url` is fetched."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        READING = "reading", _("being read")
        ADDED = "added", _("new")
        CHANGED = "changed", _("changed")
        UNCHANGED = "unchanged", _("unchanged")
        FAILED = "failed", _("could not be read")
        GONE = "gone", _("no longer there")
        LEFT_OUT = "left_out", _("left out")

    OPEN = (State.WAITING, State.READING)

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="pages")
    path = models.CharField(max_length=1000)
    url = models.URLField(max_length=2000, blank=True)
    format = models.CharField(max_length=50, blank=True)
    depth = models.PositiveSmallIntegerField(default=0)
    content = models.BinaryField(null=True)
    content_hash = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    error = models.TextField(blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(null=True)
    worker = models.ForeignKey(Worker, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ["pk"]
        indexes = [
            models.Index(
                fields=["run", "state"],
                condition=models.Q(state__in=["waiting", "reading"]),
                name="run_page_open",
            )
        ]
        constraints = [models.UniqueConstraint(fields=["run", "path"], name="run_page_path")]

    def __str__(self) -> str:
        return self.path


class RunFile(models.Model):
    """A file of a run's source that its pages include; whoever reads them needs it at hand."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="files")
    path = models.CharField(max_length=1000)
    content = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "path"], name="run_file_path")]

    def __str__(self) -> str:
        return self.path


class HostPace(models.Model):
    """When a host may be asked for its next page, by whichever worker."""

    host = models.CharField(primary_key=True, max_length=260)
    free_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.host
