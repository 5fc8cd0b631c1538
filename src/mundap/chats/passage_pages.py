"""Pages of cited passages: one in its place, or all that an answer cites. `?fragment=1`: for the pane beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from mundap.accounts.models import User
from mundap.chats import summaries
from mundap.chats.listed import side
from mundap.chats.models import Message
from mundap.chats.passages import ShownPassage, passage_in_summary, shown_passage
from mundap.chats.rendering import citation_url
from mundap.chats.summary_pages import summary_wish
from mundap.errors import NotFound

Citation = Mapping[str, Any]


@login_required
@never_cache
@require_safe
def passage(request: HttpRequest, passage_id: UUID) -> HttpResponse:
    """A passage in its place; with `?message=&n=` as cited there, between the citations before and after it.

    `?summary=&section=&language=&n=` says which summary cites it.
    """
    user = cast("User", request.user)
    if "summary" in request.GET:
        return _passage_of_summary(request, user, passage_id)
    cited_in = _find_message(user, request.GET.get("message", ""))
    citations = cited_in.citations if cited_in else ()
    citation = _find_cited(citations, passage_id, request.GET.get("n", ""))
    answer = cited_in.text if cited_in else ""
    shown = shown_passage(
        user,
        passage_id,
        citation=citation,
        answer=answer,
        collection_id=cited_in.chat.collection_id if cited_in else None,
    )
    context = _back(cited_in) | _beside(cited_in, citation) if cited_in else {}
    return _rendered(request, user, shown, context)


def _passage_of_summary(request: HttpRequest, user: User, passage_id: UUID) -> HttpResponse:
    slug, asked = request.GET["summary"], summary_wish(request)
    citations = summaries.read(user, slug, **asked).citations
    citation = _find_cited(citations, passage_id, request.GET.get("n", ""))
    if citation is None:  # the summary, or what it is about, has changed
        shown = shown_passage(user, passage_id)
    else:
        shown = passage_in_summary(user, passage_id, citation=citation)
    back_url = f"{reverse('summaries:summary', args=[slug])}?{urlencode(asked)}"
    return _rendered(request, user, shown, {"back_url": back_url, "summary": slug})


def _rendered(
    request: HttpRequest, user: User, shown: ShownPassage, context: Mapping[str, Any]
) -> HttpResponse:
    if "fragment" in request.GET:
        return render(request, "chats/_passage.html", {"passage": shown})
    return render(request, "chats/passage.html", {**side(user), "passage": shown, **context})


@login_required
@never_cache
@require_safe
def sources(request: HttpRequest, message_id: UUID) -> HttpResponse:
    """All passages that an answer cites, in the order of their numbers."""
    user = cast("User", request.user)
    cited_in = _find_message(user, str(message_id))
    if cited_in is None:
        raise NotFound(_("This message does not exist."))
    cited = _in_order(cited_in)
    shown = [
        {
            "number": citation["number"],
            "page": citation_url(citation, message=message_id),
            "passage": shown_passage(
                user,
                UUID(citation["passage"]),
                citation=citation,
                answer=cited_in.text,
                collection_id=cited_in.chat.collection_id,
            ),
        }
        for citation in cited
    ]
    if "fragment" in request.GET:
        return render(request, "chats/_sources.html", {"cited": shown})
    context = side(user) | {"cited": shown} | _back(cited_in)
    return render(request, "chats/sources.html", context)


def _back(cited_in: Message) -> dict[str, Any]:
    return {"back_url": f"{reverse('pages:chat', args=[cited_in.chat_id])}#m-{cited_in.pk}"}


def _beside(cited_in: Message, citation: Citation | None) -> dict[str, Any]:
    """Return the addresses of the citations before and after this one."""
    urls = {}
    for before, after in pairwise(_in_order(cited_in)):
        if after is citation:
            urls["previous_url"] = citation_url(before, message=cited_in.pk)
        if before is citation:
            urls["next_url"] = citation_url(after, message=cited_in.pk)
    return urls


def _in_order(cited_in: Message) -> Sequence[Citation]:
    return sorted(cited_in.citations, key=lambda citation: int(citation["number"]))


def _find_message(user: User, message_id: str) -> Message | None:
    """Return the user's message, with its chat."""
    try:
        known = UUID(message_id)
    except ValueError:
        return None
    own = Message.objects.filter(chat__owner=user, chat__deleted_at=None).select_related("chat")
    return own.filter(pk=known).first()


def _find_cited(citations: Sequence[Citation], passage_id: UUID, number: str) -> Citation | None:
    """Return the citation of this passage with this number."""
    for citation in citations:
        if citation["passage"] == str(passage_id) and str(citation["number"]) == number:
            return citation
    return None
