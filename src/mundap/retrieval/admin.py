"""Evaluations in Django's admin: to look at and to delete. Each leads to the page that compares it with the others."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from mundap.retrieval.models import EvaluationRun


@admin.register(EvaluationRun)
class EvaluationRunAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Runs of `mundap eval`."""

    list_display = ["created_at", "file", "commit", "embedding_model", "seconds"]
    list_filter = ["file", "embedding_model"]
    readonly_fields = [
        "created_at",
        "file",
        "digest",
        "version",
        "commit",
        "embedding_model",
        "rerank_model",
        "chat_model",
        "settings",
        "results",
        "seconds",
    ]

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Return False: runs come from `mundap eval`."""
        return False
