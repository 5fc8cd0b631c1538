"""The shelf in Django's admin: to look at, to rename, to hand to others and to remove. Reading is `mundap ingest`'s."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from mundap.library.models import Collection, Document


@admin.register(Collection)
class CollectionAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Collections."""

    list_display = ["title", "slug", "category", "title_no", "visibility", "owner", "state"]
    list_filter = ["state", "visibility", "category"]
    list_select_related = ["owner"]
    search_fields = ["title", "slug"]
    autocomplete_fields = ["owner"]
    readonly_fields = ["state", "error", "documents_done", "documents_total", "ingested_at"]


@admin.register(Document)
class DocumentAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Documents, to see which could not be read."""

    list_display = ["path", "title", "collection", "state", "updated_at"]
    list_filter = ["state", "collection"]
    list_select_related = ["collection"]
    search_fields = ["path", "title"]
    show_full_result_count = False
    fields = [
        "collection",
        "path",
        "url",
        "title",
        "state",
        "error",
        "updated_at",
    ]
    readonly_fields = [
        "collection",
        "path",
        "url",
        "title",
        "state",
        "error",
        "updated_at",
    ]

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Return False: documents are read from a source."""
        return False
