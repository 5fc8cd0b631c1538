"""Forms about the last question and its answer: asking, new versions, stopping, an opinion.

Each works without a script and then shows the chat. A script that asks for an answer accepts `text/event-stream`, and
gets the answer as it is written (`page_stream.py`); errors come to it as JSON.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import get_language, override
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe
from uuid_utils.compat import uuid7

from mundap.accounts.models import User
from mundap.answers.questions import checked_question
from mundap.chats import feedback, reaper, selectors, services, turns
from mundap.chats.async_view import wants_stream
from mundap.chats.models import KEY_MAX_CHARACTERS, Message
from mundap.chats.page_stream import page_stream
from mundap.chats.pages import settled, show_chat, show_home
from mundap.chats.runner import get_runner
from mundap.chats.selectors import TurnView
from mundap.chats.serializers import COMMENT_MAX_CHARACTERS
from mundap.chats.turns import Ask
from mundap.chats.versions import Kind, Revision
from mundap.config.threads import in_database_thread
from mundap.config.throttles import require_rate
from mundap.errors import InvalidInput, MundapError, NotFound
from mundap.library.selectors import get_collection_for

Refusal = Callable[..., Awaitable[HttpResponse]]


@login_required
@require_POST
async def ask(request: HttpRequest, chat_id: UUID | None = None) -> HttpResponseBase:
    """Store the question and start its answer; what was typed comes back if that fails."""
    refused = partial(show_chat, request, chat_id) if chat_id else sync_to_async(_home(request))
    return await _started(request, partial(_question, chat_id=chat_id), refused=refused)


@login_required
@require_POST
async def edit(request: HttpRequest, message_id: UUID) -> HttpResponseBase:
    """Ask the last question in other words."""
    return await _revised(request, Kind.EDIT, message_id)


@login_required
@require_POST
async def regenerate(request: HttpRequest, message_id: UUID) -> HttpResponseBase:
    """Answer the last question anew."""
    return await _revised(request, Kind.REGENERATE, message_id)


@login_required
@require_POST
async def go_on(request: HttpRequest, message_id: UUID) -> HttpResponseBase:
    """Go on with the last answer where it ended before its time."""
    return await _revised(request, Kind.CONTINUE, message_id)


@login_required
@require_POST
def select(request: HttpRequest, message_id: UUID) -> HttpResponse:
    """Make this version of the last question or answer the current one."""
    chat_id = services.select_version(_user(request), message_id)
    return _to_message(chat_id, message_id)


@login_required
@require_POST
def rate(request: HttpRequest, message_id: UUID) -> HttpResponse:
    """Store a thumb, and why; the one that is pressed already, or none, takes it back."""
    rating = request.POST.get("rating", "")
    if rating not in ("", *Message.Rating.values):
        raise InvalidInput(_("Rate an answer with “up” or “down”."))
    words = request.POST.get("comment", "").replace("\r\n", "\n")[:COMMENT_MAX_CHARACTERS]
    comment = feedback.joined(request.POST.get("reason", ""), words)
    services.rate_message(_user(request), message_id, rating=rating, comment=comment)
    return _to_message(_chat_of(_user(request), message_id), message_id)


@login_required
@require_POST
async def stop(request: HttpRequest, turn_id: UUID) -> HttpResponse:
    """Stop the answer; what there is of it stays."""
    user = cast("User", await request.auser())
    await in_database_thread(turns.request_stop, user, turn_id)
    get_runner().stop(turn_id)
    found = await in_database_thread(selectors.get_turn_for, user, turn_id)
    return redirect("pages:chat", found.chat)


@login_required
@require_safe
async def stream(request: HttpRequest, chat_id: UUID) -> HttpResponseBase:
    """What is being written in the chat; 204 when nothing is."""
    user = cast("User", await request.auser())
    turn = await in_database_thread(selectors.find_running_turn, user, chat_id)
    if turn is None or (await reaper.get_turn_for(user, turn)).is_final:
        return HttpResponse(status=204)
    return await _followed(request, user, turn)


async def _revised(request: HttpRequest, kind: Kind, message_id: UUID) -> HttpResponseBase:
    user = cast("User", await request.auser())
    chat_id = await in_database_thread(_chat_of, user, message_id)
    return await _started(
        request,
        partial(_revision, kind=kind, message=message_id),
        refused=partial(show_chat, request, chat_id, is_edit=kind is Kind.EDIT),
    )


async def _started(
    request: HttpRequest,
    read: Callable[[HttpRequest, User], Ask | Revision],
    *,
    refused: Refusal,
) -> HttpResponseBase:
    """Start what the form asks for, and show it being written, or where it will stand."""
    user = cast("User", await request.auser())
    try:
        asked = await in_database_thread(read, request, user)
        begun = await get_runner().start(user, asked)
    except MundapError as exc:
        if wants_stream(request):
            raise
        return await refused(error=exc)
    if wants_stream(request):
        return await _followed(request, user, begun.turn)
    return _to_message(begun.chat, begun.answer)


async def _followed(request: HttpRequest, user: User, turn: UUID) -> HttpResponseBase:
    language = get_language()  # when the answer ends, the middleware has long put the default back

    async def ending(view: TurnView) -> dict[str, Any]:
        html = await in_database_thread(_settled_html, request, user, view.answer, language)
        return {"html": html}

    response = await page_stream(get_runner().watch(user, turn), ending=ending)
    # An answer takes long, and the connection that knew who asks is needed by others meanwhile.
    await sync_to_async(connections.close_all)()
    return response


def _settled_html(request: HttpRequest, user: User, answer: UUID, language: str | None) -> str:
    with override(language):
        return render_to_string("chats/settled.html", settled(user, answer), request=request)


def _home(request: HttpRequest) -> Callable[..., HttpResponse]:
    return partial(show_home, request)


def _question(request: HttpRequest, user: User, *, chat_id: UUID | None) -> Ask:
    """Return the posted question. Raises InvalidInput, NotFound, LimitReached."""
    require_rate("turns", str(user.pk))
    text = _text(request)
    if chat_id:
        return Ask(text, _key(request), chat=chat_id)
    slug = request.POST.get("collection", "")
    if not slug:
        raise InvalidInput(_("Choose what to ask first."))
    return Ask(text, _key(request), collection=get_collection_for(user, slug))


def _revision(request: HttpRequest, user: User, *, kind: Kind, message: UUID) -> Revision:
    """Return what the form wants a new version of. Raises InvalidInput, LimitReached."""
    require_rate("turns", str(user.pk))
    return Revision(kind, message, _key(request), _text(request) if kind is Kind.EDIT else "")


def _text(request: HttpRequest) -> str:
    return checked_question(request.POST.get("text", "").replace("\r\n", "\n"))


def _key(request: HttpRequest) -> str:
    return request.POST.get("key", "")[:KEY_MAX_CHARACTERS] or uuid7().hex


def _chat_of(user: User, message_id: UUID) -> UUID:
    """Return the chat of the user's message. Raises NotFound."""
    found = Message.objects.filter(
        pk=message_id, chat__owner=user, chat__deleted_at=None
    ).values_list("chat_id", flat=True)
    for chat_id in found:
        return chat_id
    raise NotFound(_("This message does not exist."))


def _to_message(chat_id: UUID, message_id: UUID) -> HttpResponse:
    return redirect(f"{reverse('pages:chat', args=[chat_id])}#m-{message_id}")


def _user(request: HttpRequest) -> User:
    return cast("User", request.user)
