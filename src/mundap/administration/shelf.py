"""The shelf: collections to hand to others, to bring up to date and to remove; documents, runs and files to look at.

Names and numbers are shown, also of what is private; what documents say is not.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mundap.accounts import audit
from mundap.accounts.models import User
from mundap.administration.fields import UserByEmailField
from mundap.administration.lists import Listed, LookedAt
from mundap.errors import IngestionRunning
from mundap.library.deleting import delete_collection
from mundap.library.models import Collection, Document, Run, RunPage, StoredFile
from mundap.library.runs import cancel_run, count_pages, request_run
from mundap.library.selectors import count_extents

_FAILED_SHOWN = 100


class CollectionForm(forms.ModelForm):  # type: ignore[type-arg]
    """A collection whose owner is named by an address: a list of everybody would be too long."""

    owner = UserByEmailField(label=gettext_lazy("Owner"), required=False)

    class Meta:
        model = Collection
        fields = ("title", "category", "title_no", "visibility", "group", "owner", "refresh_days")


@admin.register(Collection)
class CollectionAdmin(Listed):
    """Collections. Their other settings are on their own page of the shelf."""

    list_name = gettext_lazy("Collections")
    kind = "collection"
    permissions = ("view", "change", "delete")
    linked_by = frozenset({"owner__id__exact"})
    list_display = ["title", "slug", "visibility", "owner", "state", "documents", "ingested_at"]
    list_filter = ["state", "visibility"]
    list_select_related = ["owner"]
    sortable_by = ["title", "slug"]
    ordering = ["-id"]
    search_fields = ["title", "slug"]
    form = CollectionForm
    actions = ["run_now"]
    fields = [
        *("title", "slug", "category", "title_no", "visibility", "group", "owner", "refresh_days"),
        *("source", "state", "error", "documents", "ingested_at"),
    ]
    readonly_fields = ["slug", "source", "state", "error", "documents", "ingested_at"]
    change_form_template = "administration/collection.html"

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Return False: a collection is added on the shelf, with its source."""
        return False

    @admin.display(description=gettext_lazy("documents"))
    def documents(self, collection: Collection) -> str:
        """How many are read, of how many."""
        done, total = collection.documents_done, collection.documents_total
        return f"{done}" if done == total else f"{done} / {total}"

    @admin.action(description=gettext_lazy("Bring up to date now"), permissions=["change"])
    def run_now(self, request: HttpRequest, queryset: QuerySet[Collection]) -> None:
        """Ask for runs of the chosen collections."""
        for collection in queryset[:50]:
            self._ask_for_run(request, collection)

    def get_urls(self) -> list[Any]:
        """Return also the route of the button that asks for a run."""
        run = self.admin_site.admin_view(self.run_one)
        return [path("<uuid:pk>/run/", run, name="run_collection"), *super().get_urls()]

    def run_one(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Ask for a run of one collection."""
        collection = self.get_object(request, str(pk))
        if request.method != "POST" or not self.has_change_permission(request, collection):
            raise PermissionDenied
        if collection is None:
            raise Http404
        self._ask_for_run(request, collection)
        return redirect("admin:library_collection_change", pk)

    def beside(self, obj: Collection) -> dict[str, Any]:
        """Return how much there is of a collection, and its last runs."""
        return {
            "extent": count_extents([obj])[obj.pk],
            "runs": obj.runs.select_related("requested_by")[:5],
        }

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Delete a collection from its leaves to its root; Django's own way would load all of it first."""
        collection = self.get_object(request, object_id)
        if collection is None:
            raise Http404
        if not self.has_delete_permission(request, collection):
            raise PermissionDenied
        if request.method == "POST" and request.POST.get("sure"):
            delete_collection(collection)
            said = _("“%(title)s” is deleted.") % {"title": collection.title}
            self.message_user(request, said, messages.SUCCESS)
            return redirect("admin:library_collection_changelist")
        context = self.admin_site.each_context(request) | {
            "title": _("Delete a collection"),
            "collection": collection,
            "extent": count_extents([collection])[collection.pk],
            "opts": self.opts,
            "list_name": self.list_name,
        }
        status = 400 if request.method == "POST" else 200
        template = "administration/delete_collection.html"
        return TemplateResponse(request, template, context, status=status)

    def _ask_for_run(self, request: HttpRequest, collection: Collection) -> None:
        user = cast("User", request.user)
        try:
            request_run(collection, trigger=Run.Trigger.PERSON, user=user)
        except IngestionRunning as exc:
            self.message_user(request, exc.message, messages.WARNING)
            return
        audit.record("run.asked", about=f"collection:{collection.pk}")
        said = _("A run of “%(title)s” is waiting for a worker.") % {"title": collection.title}
        self.message_user(request, said, messages.SUCCESS)


class Sized(LookedAt):
    """A list of things of which it is told how large they are."""

    readonly_fields: ClassVar[list[str]] = ["size"]

    @admin.display(description=gettext_lazy("size"))
    def size(self, obj: Document | StoredFile) -> str:
        """How large it is, in a unit that fits."""
        return filesizeformat(obj.size_bytes)


@admin.register(Document)
class DocumentAdmin(Sized):
    """Documents, to see which could not be read."""

    list_name = gettext_lazy("Documents")
    kind = "document"
    linked_by = frozenset({"collection__id__exact"})
    list_display = ["path", "title", "collection", "state", "updated_at"]
    list_filter = ["state"]
    list_select_related = ["collection"]
    sortable_by = ()
    ordering = ["-id"]
    search_fields = ["path", "title"]
    fields = ["collection", "path", "url", "title", "state", "error", "size", "updated_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Document]:
        """Return the documents; what they say stays in the database."""
        return super().get_queryset(request).defer("text")


@admin.register(Run)
class RunAdmin(LookedAt):
    """Runs, to see who asked for them and what came of them, and to end them."""

    list_name = gettext_lazy("Runs")
    kind = "run"
    permissions = ("view", "change")
    linked_by = frozenset({"collection__id__exact"})
    list_display = ["collection", "trigger", "state", "requested_by", "created_at", "ended_at"]
    list_filter = ["state", "trigger"]
    list_select_related = ["collection", "requested_by"]
    sortable_by = ()
    ordering = ["-id"]
    fields = [
        *("collection", "trigger", "state", "requested_by", "created_at", "started_at", "ended_at"),
        *("error", "attempts", "worker"),
    ]
    change_form_template = "administration/run.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        """Return the runs without what their pages are read with."""
        return super().get_queryset(request).defer("context")

    def get_urls(self) -> list[Any]:
        """Return also the route of the button that ends a run."""
        cancel = self.admin_site.admin_view(self.cancel)
        return [path("<uuid:pk>/cancel/", cancel, name="cancel_run"), *super().get_urls()]

    def beside(self, obj: Run) -> dict[str, Any]:
        """Return a run's pages by what became of them, and those that could not be read."""
        failed = obj.pages.filter(state=RunPage.State.FAILED).only("path", "error")
        asked = date_format(timezone.localtime(obj.created_at), "SHORT_DATETIME_FORMAT")
        return {
            "subtitle": f"{obj.collection.title}, {asked}",
            "counts": [
                (RunPage.State(state).label, number) for state, number in count_pages(obj).items()
            ],
            "failed": failed[:_FAILED_SHOWN],
            "is_unfinished": obj.state in Run.UNFINISHED,
        }

    def cancel(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """End a run where it is."""
        if request.method != "POST" or not request.user.has_perm("library.change_run"):
            raise PermissionDenied
        run = self.get_object(request, str(pk))
        if run is None:
            raise Http404
        cancel_run(run)
        audit.record("run.cancelled", about=f"run:{run.pk}")
        self.message_user(request, _("The run is ended. What it has read stays."), messages.SUCCESS)
        return redirect("admin:library_run_change", pk)


@admin.register(StoredFile)
class StoredFileAdmin(Sized):
    """Files that people gave, without what is in them."""

    list_name = gettext_lazy("Uploads")
    kind = "file"
    linked_by = frozenset({"given_by__id__exact"})
    list_display = ["path", "collection", "size", "given_by", "updated_at"]
    list_select_related = ["collection", "given_by"]
    sortable_by = ()
    ordering = ["-id"]
    search_fields = ["path"]
    fields = ["path", "collection", "size", "given_by", "updated_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[StoredFile]:
        """Return the files; what is in them stays in the database."""
        return super().get_queryset(request).defer("content")
