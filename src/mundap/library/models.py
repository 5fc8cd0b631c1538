"""What is on the shelf.

Collection   what one talks to: a set of official documentation, or a team's reference
Document     one page or file of a collection, at its `path` below the source's root
Passage      the unit of retrieval and citation: some text under a trail of headings
Embedding    a passage's vector by one model

A passage whose `lexical` vector is missing is work for retrieval's indexing; this app does not know how it is made.
"""

from __future__ import annotations

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
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="collections",
    )
    visibility = models.CharField(max_length=10, choices=Visibility, default=Visibility.PRIVATE)
    group = models.ForeignKey(Group, on_delete=models.SET_NULL, null=True, blank=True)
    source = models.CharField(_("source"), max_length=1000, blank=True)
    base_url = models.URLField(_("published at"), max_length=500, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.EMPTY)
    error = models.TextField(_("error"), blank=True)
    documents_done = models.PositiveIntegerField(default=0)
    documents_total = models.PositiveIntegerField(default=0)
    ingested_at = models.DateTimeField(_("brought up to date"), null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
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
        ]

    def __str__(self) -> str:
        return self.title


class Document(models.Model):
    """One page or file; `text` is the whole of it as plain text, which passages point into."""

    class State(models.TextChoices):
        READY = "ready", _("ready")
        FAILED = "failed", _("could not be read")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="documents")
    path = models.CharField(max_length=1000)
    url = models.URLField(max_length=2000, blank=True)
    title = models.CharField(max_length=500, blank=True)
    text = models.TextField(blank=True)
    content_hash = models.CharField(
        max_length=64, help_text="of the file's bytes, parser and chunker"
    )
    state = models.CharField(max_length=10, choices=State, default=State.READY)
    error = models.TextField(blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
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
