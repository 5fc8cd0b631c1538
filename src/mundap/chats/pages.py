"""The pages: asking and reading. What they print is made in `shown` and `passages`; `list_pages` keeps chats."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from uuid_utils.compat import uuid7

from mundap.accounts.models import User
from mundap.answers.questions import checked_question
from mundap.chats import selectors, services, store
from mundap.chats.chat_list import list_chats
from mundap.chats.list_pages import find_deleted
from mundap.chats.listed import side
from mundap.chats.models import KEY_MAX_CHARACTERS, Chat, Message
from mundap.chats.passages import shown_passage
from mundap.chats.runner import get_runner
from mundap.chats.shown import Book, books_for, shown_messages
from mundap.chats.turns import Ask
from mundap.config.throttles import require_rate
from mundap.errors import InvalidInput, MundapError, NotFound
from mundap.library.models import Collection
from mundap.library.selectors import get_collection_for, list_collections_for
from mundap.llm import client


@login_required
@never_cache
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """A new question: the shelf, and a box to type in. `?deleted=` offers to undo."""
    return _home(request)


def _home(request: HttpRequest, *, error: MundapError | None = None) -> HttpResponse:
    user = _user(request)
    given = request.POST or request.GET
    books = books_for(user)
    context = (
        side(user)
        | _asking(error, typed=given.get("text", ""))
        | {
            "books": books,
            "chosen": _chosen(user, books, given.get("collection", "")),
            "is_filling": _is_filling(books),
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
    books = books_for(user)
    context = {
        "books": books,
        "chosen": _chosen(user, books, ""),
        "is_filling": _is_filling(books),
    }
    return render(request, "chats/_shelf.html", context)


@login_required
@never_cache
@require_safe
async def chat(request: HttpRequest, chat_id: UUID) -> HttpResponse:
    """A chat with its last messages, or those before `?before=`."""
    return await _chat(request, chat_id)


async def _chat(
    request: HttpRequest, chat_id: UUID, *, error: MundapError | None = None
) -> HttpResponse:
    user = cast("User", await request.auser())
    body = await store.read(user, chat_id, before=request.GET.get("before", ""))
    return await sync_to_async(_chat_page)(
        request, chat_id, json.loads(body.content or b"{}"), error
    )


def _chat_page(
    request: HttpRequest, chat_id: UUID, body: Mapping[str, Any], error: MundapError | None
) -> HttpResponse:
    user = _user(request)
    current = selectors.get_chat_for(user, chat_id)
    typed = request.POST.get("text", "")
    context = (
        side(user)
        | _asking(error, typed=typed)
        | {
            "current_chat": current,
            "current_id": str(current.pk),
            "shown": shown_messages(body["messages"]),
            "before": body["before"],
            "can_ask": _can_ask(user, current),
        }
    )
    return render(request, "chats/chat.html", context, status=error.status if error else 200)


@login_required
@never_cache
@require_safe
def message(request: HttpRequest, message_id: UUID) -> HttpResponse:
    """An answer as a fragment, with what changed around it: the chat's name and the list of chats."""
    user = _user(request)
    found = selectors.get_message_for(user, message_id)
    current = _get_message(user, message_id).chat
    context = side(user) | {
        "current_chat": current,
        "current_id": str(current.pk),
        "message": shown_messages([found])[0],
        "can_ask": _can_ask(user, current),
    }
    return render(request, "chats/settled.html", context)


@login_required
@never_cache
@require_safe
def passage(request: HttpRequest, passage_id: UUID) -> HttpResponse:
    """A passage in its place; with `?message=&n=` as cited there. `?fragment=1`: without the frame, for the pane."""
    user = _user(request)
    cited_in = _find_message(user, request.GET.get("message", ""))
    citation = _find_citation(cited_in, passage_id, request.GET.get("n", ""))
    answer = cited_in.text if cited_in else ""
    shown = shown_passage(user, passage_id, citation=citation, answer=answer)
    context: dict[str, Any] = {"passage": shown}
    if "fragment" in request.GET:
        return render(request, "chats/_passage.html", context)
    if cited_in:
        context["back_url"] = f"{reverse('pages:chat', args=[cited_in.chat_id])}#m-{cited_in.pk}"
    return render(request, "chats/passage.html", side(user) | context)


# --- forms, which work without a script


@login_required
@require_POST
async def ask(request: HttpRequest, chat_id: UUID | None = None) -> HttpResponse:
    """Store the question, start its answer, and show the chat; what was typed comes back if that fails."""
    user = cast("User", await request.auser())
    try:
        question = await sync_to_async(_question)(request, user, chat_id)
        begun = await get_runner().start(user, question)
    except MundapError as exc:
        if chat_id:
            return await _chat(request, chat_id, error=exc)
        return await sync_to_async(_home)(request, error=exc)
    return redirect("pages:chat", begun.chat)


@login_required
@require_POST
def feedback(request: HttpRequest, message_id: UUID) -> HttpResponse:
    """Store a thumb; the one that is pressed already, or none, takes it back."""
    user = _user(request)
    rating = request.POST.get("rating", "")
    if rating not in ("", *Message.Rating.values):
        raise InvalidInput(_("Rate an answer with “up” or “down”."))
    services.rate_message(user, message_id, rating=rating, comment="")
    return redirect(
        f"{reverse('pages:chat', args=[_get_message(user, message_id).chat_id])}#m-{message_id}"
    )


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


def _question(request: HttpRequest, user: User, chat_id: UUID | None) -> Ask:
    """Return the posted question. Raises InvalidInput, NotFound."""
    require_rate("turns", str(user.pk))
    text = checked_question(request.POST.get("text", "").replace("\r\n", "\n"))
    key = request.POST.get("key", "")[:KEY_MAX_CHARACTERS] or uuid7().hex
    if chat_id:
        return Ask(text, key, chat=chat_id)
    slug = request.POST.get("collection", "")
    if not slug:
        raise InvalidInput(_("Choose what to ask first."))
    return Ask(text, key, collection=get_collection_for(user, slug))


def _can_ask(user: User, current: Chat) -> bool:
    """Are the chat's documents still on the shelf for this user?"""
    if current.collection_id is None:
        return False
    return list_collections_for(user).filter(pk=current.collection_id).exists()


def _chosen(user: User, books: Sequence[Book], slug: str) -> str:
    """Return which collection is ticked: the one asked for, the one used last, or the first."""
    open_books = [book.slug for book in books if book.is_searchable]
    last = list_chats(user, limit=1).chats
    for wish in (slug, last[0]["collection"] if last else ""):
        if wish in open_books:
            return wish
    return open_books[0] if open_books else ""


def _is_filling(books: Sequence[Book]) -> bool:
    """Is something about to change on the shelf? An empty collection waits for the worker."""
    coming = (Collection.State.EMPTY, Collection.State.INGESTING)
    return not books or any(book.state in coming for book in books)


def _find_message(user: User, message_id: str) -> Message | None:
    """Return the user's message, with its chat."""
    known = _as_uuid(message_id)
    return None if known is None else _messages_of(user).filter(pk=known).first()


def _get_message(user: User, message_id: UUID) -> Message:
    found = _messages_of(user).filter(pk=message_id).first()
    if found is None:
        raise NotFound(_("This message does not exist."))
    return found


def _messages_of(user: User) -> QuerySet[Message]:
    return Message.objects.filter(chat__owner=user, chat__deleted_at=None).select_related(
        "chat__collection"
    )


def _find_citation(
    cited_in: Message | None, passage_id: UUID, number: str
) -> Mapping[str, Any] | None:
    """Return the message's citation of this passage with this number, as stored."""
    for citation in cited_in.citations if cited_in else ():
        if citation["passage"] == str(passage_id) and str(citation["number"]) == number:
            return cast("Mapping[str, Any]", citation)
    return None


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
