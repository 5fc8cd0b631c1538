"""Links to chats: making and taking them back, and the page that anybody who has one may read.

That page stands outside the frame and knows nobody: it shows the copy alone, and is kept out of search engines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from mundap.accounts.models import User
from mundap.answers.quoting import refusal_alone
from mundap.chats import sharing
from mundap.chats.list_pages import managed
from mundap.chats.rendering import linked_html
from mundap.config.addresses import client_address
from mundap.config.throttles import require_rate
from mundap.library.quoted_text import ShownBlock, shown_blocks
from mundap.library.web_addresses import web_address

PAGE_MESSAGES = 50


@dataclass(frozen=True, slots=True)
class SharedSource:
    """A citation with what it quotes, and nothing beyond that."""

    anchor: str
    number: int
    place: str
    document: str
    url: str
    quote: Sequence[ShownBlock]
    is_doubtful: bool


@dataclass(frozen=True, slots=True)
class SharedMessage:
    """A question or an answer of a copy."""

    role: str
    text: str
    state: str
    is_answered: bool
    html: SafeString | str
    sources: tuple[SharedSource, ...]


@never_cache
@require_safe
def shared(request: HttpRequest, token: str) -> HttpResponse:
    """A shared chat, for whoever has its link; `?page=` of a long one."""
    require_rate("address", client_address(request))
    share = sharing.get_shared(token)
    page = Paginator(share.content["messages"], PAGE_MESSAGES).get_page(request.GET.get("page"))
    context = {
        "title": share.content["title"],
        "collection": share.content["collection"],
        "shared_at": share.updated_at,
        "page": page,
        "shown": shown_copies(list(page.object_list), first=page.start_index()),
    }
    response = render(request, "chats/shared.html", context)
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response


@login_required
@require_POST
def share(request: HttpRequest, chat_id: UUID) -> HttpResponse:
    """Make the chat's link, or its copy anew, and show it."""
    sharing.share_chat(cast("User", request.user), chat_id)
    return _shown(request, chat_id)


@login_required
@require_POST
def unshare(request: HttpRequest, chat_id: UUID) -> HttpResponse:
    """Take the chat's link back."""
    sharing.take_back(cast("User", request.user), chat_id)
    return _shown(request, chat_id)


def shown_copies(messages: Sequence[Mapping[str, Any]], *, first: int) -> list[SharedMessage]:
    """Return the messages of a copy ready to print; `first` is the number of the first one."""
    return [_shown_copy(message, number) for number, message in enumerate(messages, first)]


def _shown_copy(message: Mapping[str, Any], number: int) -> SharedMessage:
    def anchor(citation: Mapping[str, Any]) -> str:
        return f"source-{number}-{citation['number']}"

    is_answer = message["role"] == "assistant"
    citations = message["citations"]
    is_refusal = bool(citations) and not message["is_answered"]
    said = refusal_alone(message["text"]) if is_refusal else message["text"]
    return SharedMessage(
        role=message["role"],
        text=message["text"],
        state=message["state"],
        is_answered=message["is_answered"],
        html=linked_html(said, citations=citations, link=lambda one: f"#{anchor(one)}")
        if is_answer
        else "",
        sources=tuple(_source(citation, anchor(citation)) for citation in citations),
    )


def _source(citation: Mapping[str, Any], anchor: str) -> SharedSource:
    return SharedSource(
        anchor=anchor,
        number=citation["number"],
        place=citation["headings"][-1] if citation["headings"] else citation["document"],
        document=citation["document"],
        url=web_address(citation["url"]),
        quote=shown_blocks(citation["quote"]),
        is_doubtful=citation["supported"] is False,
    )


def _shown(request: HttpRequest, chat_id: UUID) -> HttpResponse:
    """Show the link where it can be copied and taken back; a script gets only that part."""
    if "fragment" in request.POST:
        return managed(request, chat_id)
    return redirect("pages:chat_manage", chat_id)
