"""The pages to look at the shelf with: what it holds, a collection, a run, a document. `change_pages` has the forms."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from mundap.accounts.models import User
from mundap.errors import MundapError
from mundap.library.documents_api import address_of
from mundap.library.models import Collection, Document, RunPage
from mundap.library.paging import cut
from mundap.library.quoted_text import shown_blocks
from mundap.library.selectors import (
    get_collection_for,
    get_document_for,
    get_run_for,
    list_collections_for,
    list_documents,
    list_passages,
)
from mundap.library.shown import shown_collections, shown_run, shown_shelf
from mundap.library.uploads import room_of, suffixes
from mundap.library.workers import list_alive

SHOWN_RUNS = 5


@login_required
@never_cache
@require_safe
def shelf(request: HttpRequest) -> HttpResponse:
    """What can be asked, and how fresh it is."""
    user = cast("User", request.user)
    shown = shown_shelf(user, list(list_collections_for(user)))
    return render(request, "library/shelf.html", {"shelf": shown})


@login_required
@never_cache
@require_safe
def collection(request: HttpRequest, slug: str) -> HttpResponse:
    """One collection; `?q=` and `?state=` choose among its documents."""
    found = get_collection_for(cast("User", request.user), slug)
    return show_collection(request, found)


def show_collection(
    request: HttpRequest, found: Collection, *, error: MundapError | None = None
) -> HttpResponse:
    """Return the collection's page, with what went wrong where a form on it was sent."""
    given = {name: request.GET.get(name, "").strip() for name in ("q", "state")}
    documents = list_documents(found, query=given["q"], state=given["state"])
    part = cut(documents, "path", after=request.GET.get("cursor", ""))
    context = _about(request, found) | {
        "documents": part.rows,
        "next_url": _following(given, part.cursor),
        "states": Document.State.choices,
        "given": given,
        "trouble": error,
    }
    return render(
        request, "library/collection.html", context, status=error.status if error else 200
    )


@login_required
@never_cache
@require_safe
def state(request: HttpRequest, slug: str) -> HttpResponse:
    """How far a collection is, as a fragment: asked for again and again while it is being read."""
    found = get_collection_for(cast("User", request.user), slug)
    return render(request, "library/_state.html", _about(request, found))


def _about(request: HttpRequest, found: Collection) -> dict[str, Any]:
    """Return what the page of a collection and its fragment both show."""
    user = cast("User", request.user)
    shown = shown_collections(user, [found])[0]
    context: dict[str, Any] = {"shown": shown, "workers": list_alive().count()}
    if shown.can_change:
        runs = [shown_run(run) for run in found.runs.all()[:SHOWN_RUNS]]
        context |= {"runs": runs, "last_run": runs[0] if runs else None}
        if shown.takes_files:
            context |= {"room": room_of(user), "suffixes": suffixes()}
    return context


@login_required
@never_cache
@require_safe
def run(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """One run with its pages; `?state=` chooses among them."""
    user = cast("User", request.user)
    found = get_run_for(user, run_id)
    wanted = request.GET.get("state", "")
    pages = found.pages.defer("content")
    if wanted:
        pages = pages.filter(state=wanted)
    part = cut(pages, "id", after=request.GET.get("cursor", ""))
    context = {
        "shown": shown_collections(user, [found.collection])[0],
        "last_run": shown_run(found),
        "workers": list_alive().count(),
        "pages": part.rows,
        "next_url": _following({"state": wanted}, part.cursor),
        "states": RunPage.State.choices,
        "given": {"state": wanted},
    }
    template = "library/_run.html" if "fragment" in request.GET else "library/run.html"
    return render(request, template, context)


@login_required
@never_cache
@require_safe
def document(request: HttpRequest, document_id: UUID) -> HttpResponse:
    """One document as its passages, or with `?view=text` as the text that they are cut from."""
    user = cast("User", request.user)
    found = get_document_for(user, document_id)
    is_text = request.GET.get("view") == "text"
    passages: list[dict[str, Any]] = []
    cursor = ""
    if not is_text:
        part = cut(list_passages(found), "position", after=request.GET.get("cursor", ""))
        cursor = part.cursor
        passages = [
            {
                "row": row,
                "blocks": shown_blocks(row.text),
                "url": address_of(found, row),
                "place": row.headings[-1] if row.headings else "",
                "trail": row.headings[:-1],
                "has_words": row.lexical_version > 0,
            }
            for row in part.rows
        ]
    context = {
        "shown": shown_collections(user, [found.collection])[0],
        "document": found,
        "is_text": is_text,
        "passages": passages,
        "next_url": _following({}, cursor),
    }
    return render(request, "library/document.html", context)


def _following(given: dict[str, str], cursor: str) -> str:
    return f"?{urlencode(given | {'cursor': cursor})}" if cursor else ""
