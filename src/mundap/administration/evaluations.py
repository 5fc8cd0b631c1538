"""Evaluations: to look at and to delete. Each leads to the page that compares it with the others."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from mundap.administration.lists import LookedAt
from mundap.retrieval.models import EvaluationRun


@admin.register(EvaluationRun)
class EvaluationRunAdmin(LookedAt):
    """Runs of `mundap eval`."""

    list_name = gettext_lazy("Evaluations")
    kind = "evaluation"
    permissions = ("view", "delete")
    list_display = ["created_at", "file", "commit", "embedding_model", "seconds"]
    sortable_by = ()
    fields = [
        *("created_at", "file", "digest", "version", "commit", "embedding_model", "rerank_model"),
        *("chat_model", "settings", "results", "seconds"),
    ]

    def has_delete_permission(self, request: HttpRequest, obj: EvaluationRun | None = None) -> bool:
        """Return whether they may delete runs."""
        return admin.ModelAdmin.has_delete_permission(self, request, obj)
