"""The shelf in Django's admin: to look at, to rename, to hand to others and to remove; runs and files to look at."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from mundap.library.models import Collection, Document, Run, StoredFile


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


class _ToLookAt(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that are made elsewhere."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Return False."""
        return False

    def has_change_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Return False."""
        return False

    def has_delete_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Return False."""
        return False


@admin.register(Run)
class RunAdmin(_ToLookAt):
    """Runs, to see who asked for them and what came of them."""

    list_display = ["collection", "trigger", "state", "requested_by", "created_at", "ended_at"]
    list_filter = ["state", "trigger"]
    list_select_related = ["collection", "requested_by"]
    fields = [
        *("collection", "trigger", "state", "requested_by", "created_at", "started_at", "ended_at"),
        *("error", "counts", "attempts", "worker"),
    ]


@admin.register(StoredFile)
class StoredFileAdmin(_ToLookAt):
    """Files that people gave, without what is in them."""

    list_display = ["path", "collection", "size_bytes", "given_by", "updated_at"]
    list_select_related = ["collection", "given_by"]
    search_fields = ["path"]
    fields = ["path", "collection", "size_bytes", "given_by", "updated_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[StoredFile]:
        """Return the files; what is in them stays in the database."""
        return super().get_queryset(request).defer("content")
