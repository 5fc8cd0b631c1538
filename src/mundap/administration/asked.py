"""Pages on what was asked: questions that the documents did not answer, and answers that did not help.

Nobody sees here who asked.
"""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from mundap.accounts.models import User
from mundap.administration.lists import BoundedPaginator
from mundap.chats.dealt_with import deal_with, open_again
from mundap.chats.feedback import REASONS, parted
from mundap.chats.models import DealtWith, Message
from mundap.chats.shapes import source_title
from mundap.chats.unanswered import MOST_QUESTIONS, count_unanswered, list_unanswered, topics_of
from mundap.errors import InvalidInput
from mundap.library.models import Collection, Passage
from mundap.library.selectors import (
    get_collection_for,
    get_collection_to_change_for,
    list_collections_for,
)

PERIODS = (7, 30, 90, 365)
_FEEDBACK_AT_ONCE = 20

_shown_and_marked = require_http_methods(["GET", "HEAD", "POST"])


@_shown_and_marked
def unanswered(request: HttpRequest) -> HttpResponse:
    """For staff: how many questions each collection left open, and those of the one that `?collection=` names."""
    user, days = cast("User", request.user), _days(request)
    collections = list_collections_for(user)
    counts = count_unanswered(collections, days=days)
    found = {one.pk: one for one in Collection.objects.filter(pk__in=counts)}
    ranked = sorted(counts.items(), key=lambda pair: -pair[1])
    slug = request.GET.get("collection", "")
    chosen = get_collection_for(user, slug) if slug else None
    if chosen and request.method == "POST":
        return _mark(request, _asked_about(chosen))
    context = admin.site.each_context(request) | {
        "title": "",
        "ranked": [(found[pk], number) for pk, number in ranked if pk in found],
        **_shown(request, chosen),
    }
    return render(request, "administration/unanswered.html", context)


@login_required
@never_cache
@_shown_and_marked
def unanswered_in(request: HttpRequest, slug: str) -> HttpResponse:
    """For who may change a collection: the questions that it left open."""
    collection = get_collection_to_change_for(cast("User", request.user), slug)
    if request.method == "POST":
        return _mark(request, _asked_about(collection))
    context = {"collection": collection, **_shown(request, collection)}
    return render(request, "administration/unanswered_in.html", context)


def _asked_about(collection: Collection) -> QuerySet[Message]:
    return Message.objects.filter(chat__collection=collection, role=Message.Role.USER)


def _mark(request: HttpRequest, among: QuerySet[Message]) -> HttpResponse:
    """Mark those of these messages that are sent as dealt with, or as open again, and show the page anew."""
    try:
        chosen = among.filter(pk__in=[UUID(each) for each in request.POST.getlist("message")])
    except ValueError as exc:
        raise InvalidInput(_("The request is not valid.")) from exc
    if request.POST.get("dealt_with"):
        deal_with(chosen, by=cast("User", request.user))
    else:
        open_again(chosen)
    return redirect(request.get_full_path())


def _shown(request: HttpRequest, collection: Collection | None) -> dict[str, Any]:
    days, is_dealt_with = _days(request), bool(request.GET.get("dealt_with"))
    asked = (
        list_unanswered(collection, days=days, is_dealt_with=is_dealt_with) if collection else []
    )
    return {
        "is_dealt_with": is_dealt_with,
        "chosen": collection,
        "topics": topics_of(asked),
        "number": len(asked),
        "is_cut": len(asked) >= MOST_QUESTIONS,
        "days": days,
        "periods": PERIODS,
    }


def _days(request: HttpRequest) -> int:
    """Return how far back the page looks; what is not offered is the second of what is."""
    asked = request.GET.get("days", "")
    return int(asked) if asked in map(str, PERIODS) else PERIODS[1]


@_shown_and_marked
def feedback(request: HttpRequest) -> HttpResponse:
    """For staff: answers that somebody found no help, each with its question and its passages; the newest first.

    `?collection=` and `?reason=` choose among them; `?dealt_with=1` shows those that somebody has looked after.
    """
    if request.method == "POST":
        return _mark(request, _rated_down())
    given = {name: request.GET.get(name, "") for name in ("collection", "reason", "dealt_with")}
    dealt_with = Exists(DealtWith.objects.filter(message=OuterRef("pk")))
    rows = _rated_down().filter(dealt_with if given["dealt_with"] else ~dealt_with)
    if given["collection"]:
        rows = rows.filter(chat__collection__slug=given["collection"])
    if given["reason"] in REASONS:
        rows = rows.filter(comment__startswith=given["reason"])
    page = BoundedPaginator(rows, _FEEDBACK_AT_ONCE).get_page(request.GET.get("p"))
    shown = {message.chat.collection_id for message in page.object_list}
    seen = list_collections_for(cast("User", request.user)).filter(pk__in=shown)
    visible = set(seen.values_list("pk", flat=True))
    named = _named_passages(page.object_list)
    context = admin.site.each_context(request) | {
        "title": "",
        "page": page,
        "shown": [_opinion(message, visible, named) for message in page.object_list],
        "reasons": REASONS,
        "given": given,
        "collections": _rated_collections(),
    }
    return render(request, "administration/feedback.html", context)


def _rated_down() -> QuerySet[Message]:
    rows = Message.objects.filter(rating=Message.Rating.DOWN, chat__deleted_at=None)
    return rows.select_related("chat__collection", "turn__question").order_by("-id")


def _rated_collections() -> QuerySet[Collection]:
    rated = Message.objects.filter(rating=Message.Rating.DOWN, chat__deleted_at=None)
    return Collection.objects.filter(pk__in=rated.values("chat__collection")).only("slug", "title")


def _named_passages(messages: Any) -> dict[str, Passage]:
    """Return the passages that these answers were made from, as far as they are still there, in one statement."""
    ids = {each["passage"] for message in messages for each in _found(message)}
    rows = Passage.objects.filter(pk__in=ids).select_related("document")
    rows = rows.only("headings", "collection_id", "document__title", "document__path")
    return {str(row.pk): row for row in rows}


def _found(message: Message) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = message.turn.retrieval.get("passages", []) if message.turn else []
    return found


def _opinion(message: Message, visible: set[UUID], named: dict[str, Passage]) -> dict[str, Any]:
    """Return an answer that did not help as the page shows it."""
    reason, words = parted(message.comment)
    collection = message.chat.collection
    is_visible = collection is not None and collection.pk in visible
    cited = {citation["passage"] for citation in message.citations}
    rest = [
        row
        for pk, row in ((each["passage"], named.get(each["passage"])) for each in _found(message))
        if row and pk not in cited
    ]
    return {
        "id": message.pk,
        "at": message.created_at,
        "question": message.turn.question.text if message.turn and message.turn.question else "",
        "answer": message.text,
        "reason": REASONS.get(reason, ""),
        "words": words,
        "collection": collection,
        "is_visible": is_visible,
        "citations": [
            {"title": source_title(citation), **citation} for citation in message.citations
        ],
        "rest": rest,
    }
