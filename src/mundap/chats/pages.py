"""The pages of questions and chats. What they print is made in `shown`; `turn_pages` asks, `list_pages` keeps chats."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from uuid_utils.compat import uuid7

from mundap.accounts.models import User
from mundap.chats import selectors, store
from mundap.chats.books import Book, books_for, grouped
from mundap.chats.chat_list import list_chats
from mundap.chats.citation_states import find_newer, notes_of
from mundap.chats.feedback import REASONS
from mundap.chats.list_pages import find_deleted
from mundap.chats.listed import side
from mundap.chats.models import Chat, State, Turn
from mundap.chats.shown import shown_messages
from mundap.errors import MundapError
from mundap.library.selectors import list_collections_for
from mundap.llm import client

REFRESH_SECONDS = 3


@login_required
@never_cache
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """A new question: the shelf, and a box to type in. `?deleted=` offers to undo."""
    return show_home(request)


def show_home(request: HttpRequest, *, error: MundapError | None = None) -> HttpResponse:
    """Return the page to ask from, with what was typed and why it did not work."""
    user = _user(request)
    given = request.POST or request.GET
    context = (
        side(user)
        | _asking(error, typed=given.get("text", ""))
        | _shelf(user, books_for(user), given.get("collection", ""))
        | {
            "deleted_chat": find_deleted(user, request.GET.get("deleted", "")),
            "can_ask": True,
        }
    )
    return render(request, "chats/home.html", context, status=error.status if error else 200)


@login_required
@never_cache
@require_safe
def shelf(request: HttpRequest) -> HttpResponse:
    """The shelf alone, asked for while documents are being read."""
    user = _user(request)
    return render(request, "chats/_shelf.html", _shelf(user, books_for(user), ""))


@login_required
@never_cache
@require_safe
async def chat(request: HttpRequest, chat_id: UUID) -> HttpResponse:
    """A chat with its last messages, or those before `?before=`."""
    return await show_chat(request, chat_id)


async def show_chat(
    request: HttpRequest, chat_id: UUID, *, error: MundapError | None = None, is_edit: bool = False
) -> HttpResponse:
    """Return the chat's page, with what was typed and why it did not work; an edit stays where it was typed."""
    user = cast("User", await request.auser())
    body = await store.read(user, chat_id, before=request.GET.get("before", ""))
    return await sync_to_async(_chat_page)(
        request, chat_id, json.loads(body.content or b"{}"), error, is_edit=is_edit
    )


def _chat_page(
    request: HttpRequest,
    chat_id: UUID,
    body: Mapping[str, Any],
    error: MundapError | None,
    *,
    is_edit: bool,
) -> HttpResponse:
    user = _user(request)
    current = selectors.get_chat_for(user, chat_id)
    typed = request.POST.get("text", "")
    context = (
        side(user)
        | _asking(error, typed="" if is_edit else typed)
        | _conversation(user, current, body["messages"])
        | {
            "before": body["before"],
            "refresh": _refresh(request, chat_id, body["messages"]),
            "newer": find_newer(user, current.collection),
            "edited": typed if is_edit else "",
        }
    )
    return render(request, "chats/chat.html", context, status=error.status if error else 200)


@login_required
@never_cache
@require_safe
def message(request: HttpRequest, message_id: UUID) -> HttpResponse:
    """An exchange as a fragment, with what changed around it: the chat's name and the list of chats."""
    return render(request, "chats/settled.html", settled(_user(request), message_id))


def settled(user: User, answer: UUID) -> dict[str, Any]:
    """Return what the fragment of an answer with its question shows. Raises NotFound."""
    found = selectors.get_message_for(user, answer)
    turn = Turn.objects.select_related("chat__collection").get(answer=answer)
    question = turn.question_id and [selectors.get_message_for(user, turn.question_id)]
    return side(user) | _conversation(user, turn.chat, [*(question or []), found])


@login_required
@never_cache
@require_safe
def versions(request: HttpRequest, message_id: UUID) -> HttpResponse:
    """All versions of a message to read, also where the conversation has gone on."""
    user = _user(request)
    found = selectors.list_versions_for(user, message_id)
    current = Chat.objects.get(messages=message_id)
    context = {
        "current_id": str(current.pk),
        "back_chat": current,
        "shown": shown_messages(found, notes=notes_of(user, [each["id"] for each in found])),
    }
    return render(request, "chats/versions.html", side(user) | context)


def _refresh(request: HttpRequest, chat_id: UUID, messages: Sequence[Mapping[str, Any]]) -> str:
    """Return when and where a page without scripts shows more of the answer that is being written, or nothing.

    The address changes each time: one that differs only behind its `#` is not loaded again.
    """
    running = next((each["id"] for each in messages if each["state"] == State.RUNNING), "")
    if not running:
        return ""
    query = "" if "more" in request.GET else "?more"
    return f"{REFRESH_SECONDS};url={reverse('pages:chat', args=[chat_id])}{query}#m-{running}"


# --- what the views share


def _user(request: HttpRequest) -> User:
    """Return the user of a view that needs one."""
    return cast("User", request.user)


def _asking(error: MundapError | None, *, typed: str) -> dict[str, Any]:
    """Return what the box to ask in shows."""
    return {
        "typed": typed,
        "trouble": error.message if error else "",
        "has_model": client.has_model(),
        "fresh_key": uuid7().hex,
    }


def _conversation(
    user: User, current: Chat, messages: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what the templates of a chat's messages show."""
    notes = notes_of(user, [each["id"] for each in messages])
    return {
        "current_chat": current,
        "current_id": str(current.pk),
        "shown": shown_messages(messages, notes=notes, next_position=current.next_position),
        "can_ask": _can_ask(user, current),
        "reasons": REASONS,
    }


def _can_ask(user: User, current: Chat) -> bool:
    """Are the chat's documents still on the shelf for this user?"""
    if current.collection_id is None:
        return False
    return list_collections_for(user).filter(pk=current.collection_id).exists()


def _shelf(user: User, books: Sequence[Book], slug: str) -> dict[str, Any]:
    """Return what one chooses from; it changes by itself while it is empty or something on it is being read."""
    groups = grouped(books)
    return {
        "books": groups,
        "book_count": sum(len(group.entries) for group in groups),
        "chosen": _chosen(user, books, slug),
        "is_filling": not books or any(book.is_coming for book in books),
    }


def _chosen(user: User, books: Sequence[Book], slug: str) -> str:
    """Return which collection is ticked: the one asked for, the one used last, or the first."""
    open_books = [book.slug for book in books if book.is_searchable]
    last = list_chats(user, limit=1).chats
    for wish in (slug, last[0]["collection"] if last else ""):
        if wish in open_books:
            return wish
    return open_books[0] if open_books else ""
