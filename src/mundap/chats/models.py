"""Conversations, as rows that the database itself keeps consistent.

Chat           a person's conversation with one collection; `rev` and `etag` name its state
Message        a question or an answer at a position; a position may have several versions, one of them current
Turn           one question being answered: who runs it, until when, and how it ended
Completion     an answer outside any chat, only while it runs
TurnDraft      the text of a running answer so far, so that a killed process loses at most two seconds
SearchSegment  the terms that sixteen positions of a chat are found by
Share          a copy of a chat that whoever has its link may read
ModelUsage     what the chat model was used for: by day, user, token, model and purpose; kept when these are gone
Reservation    what a running answer or summary may take of the model at most, until it is known what it took
DealtWith      a question without an answer, or an answer that did not help, that staff have looked after
MonthSpending  what all that was used in a month cost together, in a few parts

Triggers (migrations 0002 and 0003) give a chat a new `rev` and `etag` whenever something that its readers see changes,
by whatever means: messages, visible columns, a turn that begins or ends, the names of its collection. Nobody sets them
by hand, and they never go back.
"""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7

from mundap.library.models import Collection

TITLE_MAX_CHARACTERS = 200
KEY_MAX_CHARACTERS = 255
MODEL_MAX_CHARACTERS = 200
# A segment is analysed anew after each change: larger ones cost the worker more, smaller ones each search.
SEGMENT_POSITIONS = 16


class RandomUUID(models.Func):
    """A random identifier made by the database."""

    function = "gen_random_uuid"
    output_field = models.UUIDField()


class State(models.TextChoices):
    """How a turn, and the answer it makes, stands; all but `running` are final."""

    RUNNING = "running", _("running")
    COMPLETE = "complete", _("complete")
    STOPPED = "stopped", _("stopped")
    FAILED = "failed", _("failed")
    INTERRUPTED = "interrupted", _("interrupted")


class Chat(models.Model):
    """A conversation. `next_position` is the position of its next message."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("owner"),
        on_delete=models.CASCADE,
        related_name="chats",
    )
    collection = models.ForeignKey(
        Collection,
        verbose_name=_("collection"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="chats",
    )
    title = models.CharField(_("title"), max_length=TITLE_MAX_CHARACTERS, blank=True)
    pinned = models.BooleanField(_("pinned"), default=False)
    rev = models.BigIntegerField(default=0, db_default=0, editable=False)
    etag = models.UUIDField(db_default=RandomUUID(), editable=False)
    next_position = models.PositiveIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(
        _("last question"), db_default=Now(), help_text="of the last question"
    )
    deleted_at = models.DateTimeField(_("deleted"), null=True, blank=True)

    class Meta:
        verbose_name = _("chat")
        verbose_name_plural = _("chats")
        ordering = ["-updated_at", "-id"]
        indexes = [
            models.Index(
                fields=["owner", "-updated_at", "-id"],
                condition=Q(deleted_at__isnull=True),
                name="chat_list",
            ),
            models.Index(
                fields=["owner", "-updated_at", "-id"],
                condition=Q(deleted_at__isnull=True, pinned=True),
                name="chat_list_pinned",
            ),
            models.Index(
                fields=["deleted_at"],
                condition=Q(deleted_at__isnull=False),
                name="chat_deleted",
            ),
        ]

    def __str__(self) -> str:
        return self.title or str(self.id)


class Turn(models.Model):
    """One question being answered, or answered. `runner` is the server process that holds it until `lease_until`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    chat = models.ForeignKey(Chat, on_delete=models.CASCADE, related_name="turns")
    # Indexed by its unique constraint.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="turns", db_index=False
    )
    idempotency_key = models.CharField(max_length=KEY_MAX_CHARACTERS)
    request_hash = models.BinaryField(max_length=32)
    status = models.CharField(max_length=11, choices=State, default=State.RUNNING)
    runner = models.CharField(max_length=100)
    lease_until = models.DateTimeField()
    stop_requested_at = models.DateTimeField(null=True, blank=True)
    question = models.ForeignKey(
        "Message", on_delete=models.SET_NULL, null=True, related_name="asked_in"
    )
    answer = models.ForeignKey(
        "Message", on_delete=models.SET_NULL, null=True, related_name="answered_in"
    )
    usage = models.JSONField(default=dict, help_text="the model's token counts")
    retrieval = models.JSONField(default=dict, help_text="queries, and the passages found")
    error = models.JSONField(null=True, blank=True, help_text="code, message and status")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "idempotency_key"], name="turn_key"),
            models.UniqueConstraint(
                fields=["chat"], condition=Q(status="running"), name="turn_one_running"
            ),
            models.CheckConstraint(condition=Q(status__in=State.values), name="turn_status"),
            models.CheckConstraint(
                condition=Q(status="running", finished_at__isnull=True)
                | (~Q(status="running") & Q(finished_at__isnull=False)),
                name="turn_finished_when_final",
            ),
        ]
        indexes = [
            models.Index(
                fields=["owner"], condition=Q(status="running"), name="turn_running_of_owner"
            ),
            # For those who look after the documents: unanswered.py.
            models.Index(
                fields=["finished_at"],
                condition=Q(retrieval__is_answered=False, status="complete"),
                name="turn_unanswered",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id} ({self.status})"


class Completion(models.Model):
    """An answer outside any chat while it is being written; only that it runs is stored."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="completions"
    )
    lease_until = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.id)


class TurnDraft(models.Model):
    """A running answer's text so far; it goes when the turn ends."""

    turn = models.OneToOneField(
        Turn, on_delete=models.CASCADE, primary_key=True, related_name="draft"
    )
    text = models.TextField()
    updated_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return str(self.turn_id)


class Message(models.Model):
    """A question or an answer. `turn` is the turn that made it."""

    class Role(models.TextChoices):
        USER = "user", _("question")
        ASSISTANT = "assistant", _("answer")

    class Rating(models.TextChoices):
        UP = "up", _("helpful")
        DOWN = "down", _("not helpful")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Indexed by its unique constraint.
    chat = models.ForeignKey(
        Chat, on_delete=models.CASCADE, related_name="messages", db_index=False
    )
    turn = models.ForeignKey(Turn, on_delete=models.SET_NULL, null=True, related_name="messages")
    position = models.PositiveIntegerField()
    version = models.PositiveSmallIntegerField(default=1)
    is_current = models.BooleanField(default=True)
    role = models.CharField(max_length=9, choices=Role)
    text = models.TextField(blank=True)
    state = models.CharField(max_length=11, choices=State, default=State.COMPLETE)
    citations = models.JSONField(default=list, help_text="see answers.events.Citation")
    rating = models.CharField(max_length=4, choices=Rating, blank=True)
    comment = models.TextField(blank=True, help_text="why it was rated so")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["chat", "position", "version"]
        constraints = [
            models.UniqueConstraint(fields=["chat", "position", "version"], name="message_version"),
            models.UniqueConstraint(
                fields=["chat", "position"],
                condition=Q(is_current=True),
                name="message_one_current",
            ),
            models.CheckConstraint(
                condition=Q(role__in=("user", "assistant")), name="message_role"
            ),
            models.CheckConstraint(condition=Q(state__in=State.values), name="message_state"),
            models.CheckConstraint(
                condition=Q(rating__in=("", "up", "down")), name="message_rating"
            ),
        ]
        indexes = [
            models.Index(fields=["rating", "-id"], condition=~Q(rating=""), name="message_rated")
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.position}.{self.version}"


class SearchSegment(models.Model):
    """What the current messages at some positions of a chat, and with the first of them its title, are found by.

    Rows are made by triggers (migration 0004). `terms` is NULL until the worker has analysed them, and again after a
    change; `changes` counts those. The key is the chat and the number of the segment.
    """

    pk = models.CompositePrimaryKey("chat_id", "number")
    # Indexed by the key.
    chat = models.ForeignKey(Chat, on_delete=models.CASCADE, related_name="+", db_index=False)
    number = models.IntegerField(help_text="the position by SEGMENT_POSITIONS")
    # The chat's own, which is checked there.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    changes = models.BigIntegerField()
    terms = SearchVectorField(null=True)

    class Meta:
        indexes = [
            # Partial, so that a post makes no entry in it; without a pending list, which searches would read.
            GinIndex(
                fields=["terms"],
                condition=Q(terms__isnull=False),
                fastupdate=False,
                name="search_terms",
            ),
            models.Index(fields=["owner"], condition=Q(terms__isnull=True), name="search_waiting"),
        ]

    def __str__(self) -> str:
        return f"{self.chat_id} {self.number}"


class DealtWith(models.Model):
    """That somebody has looked after a question that was not answered, or an answer that did not help, and when.

    The database does not check the keys: a version that does not know this table may delete what they name.
    """

    message = models.OneToOneField(
        Message, on_delete=models.CASCADE, primary_key=True, related_name="+", db_constraint=False
    )
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        db_constraint=False,
    )
    at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return str(self.message_id)


class Share(models.Model):
    """What a link shows of a chat: a copy of what was there when it was shared. Taking the link back deletes it."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    chat = models.OneToOneField(Chat, on_delete=models.CASCADE, related_name="share")
    content = models.JSONField(help_text="see sharing.py")
    secret = models.TextField(blank=True, db_default="", help_text="encrypted; see sharing.py")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True, help_text="when the copy was made")

    def __str__(self) -> str:
        return str(self.chat_id)


class ModelUsage(models.Model):
    """What somebody's questions took of a model on a day, for a purpose. Written by `usage.py` alone.

    `user` is empty for the command line, and for people who are gone; `token` where no API token was used, and may
    name one that is gone. `model` is empty for questions that were answered without one. Days are of the instance's
    time zone. The database does not check the two keys: the end of an answer and the deletion of an account would
    wait for each other.
    """

    class Purpose(models.TextChoices):
        ANSWER = "answer", _("answers")
        QUERIES = "queries", _("wording the search")
        TITLE = "title", _("titles")
        SUMMARY = "summary", _("summaries")
        COMPLETION = "completion", _("answers by OpenAI's protocol")

    day = models.DateField(_("day"))
    # Indexed by its unique constraint.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        on_delete=models.SET_NULL,
        null=True,
        related_name="model_usage",
        db_index=False,
        db_constraint=False,
    )
    token = models.ForeignKey(
        "accounts.ApiToken",
        verbose_name=_("token"),
        on_delete=models.DO_NOTHING,
        null=True,
        related_name="model_usage",
        db_index=False,
        db_constraint=False,
    )
    model = models.CharField(_("model"), max_length=MODEL_MAX_CHARACTERS, blank=True)
    purpose = models.CharField(_("purpose"), max_length=10, choices=Purpose)
    questions = models.PositiveIntegerField(_("questions"), default=0)
    calls = models.PositiveIntegerField(_("calls"), default=0)
    estimated_calls = models.PositiveIntegerField(
        _("estimated calls"), default=0, help_text="whose tokens the endpoint did not count"
    )
    input_tokens = models.PositiveBigIntegerField(_("input tokens"), default=0)
    output_tokens = models.PositiveBigIntegerField(_("output tokens"), default=0)
    cost = models.DecimalField(_("cost"), max_digits=20, decimal_places=9, default=0)

    class Meta:
        ordering = ["-day", "user", "model", "purpose"]
        verbose_name = _("use of a model")
        verbose_name_plural = _("use of models")
        constraints = [
            # Without a user there may be several, so that those of people who are gone need not be added up.
            models.UniqueConstraint(
                fields=["user", "day", "model", "purpose", "token"],
                condition=Q(user__isnull=False),
                nulls_distinct=False,
                name="model_usage_once",
            ),
            models.CheckConstraint(
                condition=Q(purpose__in=("answer", "queries", "title", "summary", "completion")),
                name="model_usage_purpose",
            ),
        ]
        indexes = [models.Index(fields=["day"], name="model_usage_by_day")]

    def __str__(self) -> str:
        return f"{self.day} {self.model} {self.purpose}"


class Reservation(models.Model):
    """What may yet be used: of a turn or a completion with the same id, or of a summary that is being made."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        db_constraint=False,
    )
    token = models.UUIDField(null=True)
    model = models.CharField(max_length=MODEL_MAX_CHARACTERS)
    purpose = models.CharField(max_length=10, choices=ModelUsage.Purpose)
    input_tokens = models.PositiveBigIntegerField()
    output_tokens = models.PositiveBigIntegerField()
    cost = models.DecimalField(max_digits=20, decimal_places=9)
    expires_at = models.DateTimeField(help_text="when nobody can be using it any more")

    def __str__(self) -> str:
        return str(self.id)


class MonthSpending(models.Model):
    """A part of what was spent in the month that begins on this day; which one, decides who spent it.

    Parts, because all turns of all users would wait for each other at one row.
    """

    pk = models.CompositePrimaryKey("month", "part")
    month = models.DateField()
    part = models.PositiveSmallIntegerField()
    cost = models.DecimalField(max_digits=20, decimal_places=9)

    def __str__(self) -> str:
        return f"{self.month} {self.part}"
