"""What search knows about a collection's words.

LexicalIndex   over how many passages the frequencies of a collection were counted, and whether that is still so
Term           a word or name of a collection: in how many passages it stands, its sound, and its meaning (a vector)
"""

from __future__ import annotations

from django.db import models
from pgvector.django import HalfVectorField

from mundap.library.models import Collection


class LexicalIndex(models.Model):
    """The number of passages that the collection's document frequencies were counted over."""

    collection = models.OneToOneField(
        Collection, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    passages = models.PositiveIntegerField(default=0)
    is_stale = models.BooleanField(default=True)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.passages} passages of {self.collection_id}"


class Term(models.Model):
    """A term; `dimension` is its place in the sparse vectors, `surface` the form in which it is written most often."""

    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="+")
    dimension = models.IntegerField()
    text = models.TextField()
    surface = models.TextField()
    is_word = models.BooleanField(help_text="one word, and not a compound name")
    frequency = models.PositiveIntegerField(default=0, help_text="passages that have it")
    sound = models.CharField(max_length=100, blank=True)
    model = models.CharField(max_length=200, blank=True, help_text="the vector's")
    vector = HalfVectorField(null=True)

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
