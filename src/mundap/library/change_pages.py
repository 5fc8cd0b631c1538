"""The forms of the shelf: they work without a script, and answer with a redirect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import Group
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST
from rest_framework.serializers import Serializer, ValidationError

from mundap.accounts.models import User
from mundap.config.exceptions import describe
from mundap.errors import InvalidInput, MundapError, NotAllowed
from mundap.library import services, uploads
from mundap.library.collections_api import ChangeSerializer, NewCollectionSerializer
from mundap.library.deleting import delete_collection
from mundap.library.kinds import source_kinds_for
from mundap.library.models import OFFICIAL_DOCS, Collection, Run
from mundap.library.pages import show_collection
from mundap.library.runs import cancel_run, request_run, retry_failed
from mundap.library.selectors import (
    get_collection_to_change_for,
    get_document_to_change_for,
    get_run_for,
    list_collections_for,
)
from mundap.library.services import Label
from mundap.library.shown import categories, shown_collections
from mundap.library.uploads import room_of, suffixes

_both = require_http_methods(["GET", "HEAD", "POST"])


@login_required
@never_cache
@_both
def add_source(request: HttpRequest) -> HttpResponse:
    """Name a source for a new collection; staff only."""
    user = cast("User", request.user)
    if not user.is_staff:
        raise NotAllowed(_("Only staff may add a source. You can upload files."))
    error = None
    if request.method == "POST":
        try:
            given = _checked(NewCollectionSerializer, request.POST)
            if "source" not in given:
                message = _("Name a source.")
                raise InvalidInput(message, fields={"source": message})
            made, _run = services.add_source(user, given.pop("source"), Label(**given))
        except (MundapError, ValidationError) as exc:
            error = _told(exc)
        else:
            return redirect("library:collection", made.slug)
    context = _choices(user) | {"kinds": source_kinds_for(user), "official": OFFICIAL_DOCS}
    return _form(request, "library/add_source.html", context, error)


@login_required
@never_cache
@_both
def add_files(request: HttpRequest) -> HttpResponse:
    """Give files or a text for a new collection, which is private."""
    user = cast("User", request.user)
    error = None
    if request.method == "POST":
        try:
            given = _checked(NewCollectionSerializer, request.POST)
            content = given.pop("content", "")
            files = request.FILES.getlist("files")
            with transaction.atomic():
                made = services.make_reference(user, Label(**given))
                if files:
                    uploads.store_files(user, made, files)
                if content:
                    uploads.store_text(user, made, content)
        except (MundapError, ValidationError) as exc:
            error = _told(exc)
        else:
            return redirect("library:collection", made.slug)
    context = _choices(user) | {"room": room_of(user), "suffixes": suffixes()}
    return _form(request, "library/add_files.html", context, error)


@login_required
@never_cache
@_both
def settings(request: HttpRequest, slug: str) -> HttpResponse:
    """Change how a collection is kept."""
    user = cast("User", request.user)
    collection = get_collection_to_change_for(user, slug)
    error = None
    if request.method == "POST":
        try:
            given = _checked(ChangeSerializer, request.POST)
            services.change_collection(user, collection, given)
        except (MundapError, ValidationError) as exc:
            error = _told(exc)
        else:
            messages.success(request, _("Saved."))
            return redirect("library:collection", slug)
    context = _choices(user) | {"shown": shown_collections(user, [collection])[0]}
    return _form(request, "library/settings.html", context, error)


@login_required
@never_cache
@_both
def delete(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask once, then delete the collection."""
    user = cast("User", request.user)
    collection = get_collection_to_change_for(user, slug)
    if request.method == "POST":
        delete_collection(collection)
        messages.success(request, _("“%(title)s” is deleted.") % {"title": collection.title})
        return redirect("library:shelf")
    context = {"shown": shown_collections(user, [collection])[0]}
    return render(request, "library/delete.html", context)


@login_required
@require_POST
def refresh(request: HttpRequest, slug: str) -> HttpResponse:
    """Bring the collection up to date."""
    user = cast("User", request.user)
    collection = get_collection_to_change_for(user, slug)
    return _done(
        request,
        collection,
        lambda: request_run(collection, trigger=Run.Trigger.PERSON, user=user),
    )


@login_required
@require_POST
def retry(request: HttpRequest, slug: str) -> HttpResponse:
    """Read anew what could not be read."""
    user = cast("User", request.user)
    collection = get_collection_to_change_for(user, slug)
    return _done(request, collection, lambda: retry_failed(collection, user=user))


@login_required
@require_POST
def cancel(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """End a run where it is."""
    run = get_run_for(cast("User", request.user), run_id)
    return _done(request, run.collection, lambda: cancel_run(run))


@login_required
@require_POST
def files(request: HttpRequest, slug: str) -> HttpResponse:
    """Put files into a collection."""
    user = cast("User", request.user)
    collection = get_collection_to_change_for(user, slug)
    given = request.FILES.getlist("files")
    return _done(request, collection, lambda: uploads.store_files(user, collection, given))


@login_required
@require_POST
def delete_document(request: HttpRequest, document_id: UUID) -> HttpResponse:
    """Delete a document with the file that it was read from."""
    user = cast("User", request.user)
    document = get_document_to_change_for(user, document_id)
    return _done(request, document.collection, lambda: uploads.delete_document(user, document))


# --- what the views share


def _done(
    request: HttpRequest, collection: Collection, change: Callable[[], object]
) -> HttpResponse:
    """Make the change and show the collection, with what went wrong if it did."""
    try:
        change()
    except MundapError as exc:
        collection.refresh_from_db()
        return show_collection(request, collection, error=exc)
    return redirect("library:collection", collection.slug)


def _checked(serializer: type[Serializer[Any]], posted: Mapping[str, str]) -> dict[str, Any]:
    """Return what was typed, as the API would take it; a field that is left empty was not given."""
    given = {name: posted[name] for name in posted if posted[name].strip()}
    data = serializer(data=given, partial=True)
    data.is_valid(raise_exception=True)
    return dict(data.validated_data)


def _told(exc: MundapError | ValidationError) -> dict[str, Any]:
    reply = describe(exc)
    return (
        {"message": reply.message, "fields": reply.fields, "status": reply.status} if reply else {}
    )


def _choices(user: User) -> dict[str, Any]:
    """Return what the fields of a form offer."""
    collections = list(list_collections_for(user))
    return {
        "categories": categories(collections),
        "families": sorted({one.family for one in collections if one.category == OFFICIAL_DOCS}),
        "groups": Group.objects.order_by("name") if user.is_staff else [],
        "visibilities": Collection.Visibility.choices,
    }


def _form(
    request: HttpRequest, template: str, context: dict[str, Any], error: dict[str, Any] | None
) -> HttpResponse:
    context |= {"trouble": error, "typed": request.POST}
    return render(request, template, context, status=error["status"] if error else 200)
