"""What search knows about a collection's words.

LexicalIndex    over how many passages the frequencies of a collection were counted, whether that is still so, and which
                model's vectors answer
Term            a word or name of a collection: in how many passages it stands, its sound, and its meaning (a vector)
EvaluationRun   what `mundap eval` measured, to be compared with later runs
"""

from __future__ import annotations

from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from pgvector.django import HalfVectorField

from mundap.library.models import Collection
from mundap.retrieval.embeddings import embedding_model


class LexicalIndex(models.Model):
    """The number of passages that the collection's document frequencies were counted over.

    `embedding_model` is the model whose vectors answer: while the settings want another one, the one before it. It is
    empty until vectors were asked for.
    """

    collection = models.OneToOneField(
        Collection, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    passages = models.PositiveIntegerField(default=0)
    is_stale = models.BooleanField(default=True)
    updated_at = models.DateTimeField(auto_now=True)
    embedding_model = models.CharField(max_length=200, blank=True)
    embedding_since = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.passages} passages of {self.collection_id}"

    @property
    def answering_model(self) -> str:
        """The model whose vectors are searched."""
        return self.embedding_model or embedding_model()


class Term(models.Model):
    """A term; `dimension` is its place in the sparse vectors, `surface` the form in which it is written most often.

    `coming_vector` is that of a model that does not answer yet; it takes the vector's place when it does.
    """

    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="+")
    dimension = models.IntegerField()
    text = models.TextField()
    surface = models.TextField()
    is_word = models.BooleanField(help_text="one word, and not a compound name")
    frequency = models.PositiveIntegerField(default=0, help_text="passages that have it")
    sound = models.CharField(max_length=100, blank=True)
    model = models.CharField(max_length=200, blank=True, help_text="the vector's")
    vector = HalfVectorField(null=True)
    coming_model = models.CharField(max_length=200, blank=True, db_default="")
    coming_vector = HalfVectorField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["collection", "dimension"], name="term_dimension")
        ]
        indexes = [
            models.Index(fields=["collection", "sound"], name="term_by_sound"),
            models.Index(
                fields=["collection", "frequency"],
                condition=models.Q(vector__isnull=False),
                name="term_with_vector",
            ),
        ]

    def __str__(self) -> str:
        return self.text


class EvaluationRun(models.Model):
    """One run of `mundap eval`; `evaluation.Measured` reads what is in `results`.

    Runs of the same questions (`digest`, SHA-256 of the file) are comparable; what they were measured with stands here.
    """

    created_at = models.DateTimeField(_("when"), auto_now_add=True)
    file = models.CharField(_("questions"), max_length=255)
    digest = models.CharField(_("their digest"), max_length=64, editable=False)
    version = models.CharField(_("version"), max_length=50)
    commit = models.CharField(_("commit"), max_length=50, blank=True)
    embedding_model = models.CharField(_("embedding model"), max_length=200, blank=True)
    rerank_model = models.CharField(_("rerank model"), max_length=200, blank=True)
    chat_model = models.CharField(_("chat model"), max_length=200, blank=True)
    settings = models.JSONField(_("settings"), default=dict)
    results = models.JSONField(_("results"), default=dict)
    seconds = models.FloatField(_("seconds"), default=0)

    class Meta:
        ordering = ["-created_at", "-pk"]
        verbose_name = _("evaluation")
        verbose_name_plural = _("evaluations")
        indexes = [models.Index(fields=["digest", "-created_at"], name="runs_of_a_file")]

    def __str__(self) -> str:
        return f"{self.file}, {self.created_at:%Y-%m-%d %H:%M}"

    def get_absolute_url(self) -> str:
        """Return the page that shows the runs of these questions."""
        return f"{reverse('evaluations')}?file={self.digest}"
