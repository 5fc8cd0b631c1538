"""Asking over HTTP: the turns of chats, as a stream of events or as one JSON document that waits for the end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any
from uuid import UUID, uuid4

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from mundap.answers.questions import checked_question
from mundap.chats import reaper, selectors, turns
from mundap.chats.async_view import AskingView, AsyncAPIView, wants_stream
from mundap.chats.chat_list import list_chats
from mundap.chats.entity_tags import has_current, not_modified, private
from mundap.chats.models import KEY_MAX_CHARACTERS, State
from mundap.chats.runner import get_runner
from mundap.chats.selectors import TurnView
from mundap.chats.serializers import (
    ChatListSerializer,
    ErrorSerializer,
    FailedTurnSerializer,
    NewChatSerializer,
    QuestionSerializer,
    TurnSerializer,
)
from mundap.chats.streaming import stream_response
from mundap.chats.turns import Ask
from mundap.chats.versions import Kind, Revision
from mundap.config.quotas import rate_limit_headers
from mundap.config.threads import in_database_thread
from mundap.errors import InvalidInput, ServiceUnavailable
from mundap.library.selectors import get_collection_for

# That a stop waits for the end; elsewhere the runner hears of it within a second.
STOP_SECONDS = 2.0

KEY_HEADER = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="At most 255 characters. The same key and request give the same turn again.",
)
EVENT_HEADER = OpenApiParameter(
    "Last-Event-ID",
    str,
    OpenApiParameter.HEADER,
    description="The last event that was read: the text goes on behind it.",
)
_STREAM = OpenApiResponse(
    OpenApiTypes.STR,
    description="Server-sent events: the AI SDK's UI message stream, version 1.",
)
# Other refusals are those of every endpoint: config/schema.py adds them.
TURN_RESPONSES = {
    (200, "application/json"): TurnSerializer,
    (200, "text/event-stream"): _STREAM,
    (422, "application/json"): OpenApiResponse(
        ErrorSerializer, description="The Idempotency-Key was used for another request."
    ),
    **{
        (status, "application/json"): OpenApiResponse(
            FailedTurnSerializer, description="The answer failed; the question is kept."
        )
        for status in (502, 503, 504)
    },
}


class ChatsView(AskingView):
    """GET lists, POST asks a first question."""

    @extend_schema(
        operation_id="list_chats",
        responses={200: ChatListSerializer, 304: None},
        parameters=[
            OpenApiParameter("q", str, description="Words that the title or a message contains."),
            OpenApiParameter("cursor", str, description="As in `next`."),
            OpenApiParameter("pinned", bool, description="Only pinned chats, or only others."),
        ],
    )
    async def get(self, request: Request) -> HttpResponseBase:
        """Your chats, newest first."""
        query = request.query_params
        page = await in_database_thread(
            list_chats,
            self.user,
            query=query.get("q", ""),
            cursor=query.get("cursor", ""),
            pinned=_flag(query.get("pinned", ""), name="pinned"),
        )
        if has_current(request, page.etag):
            return not_modified(page.etag)
        following = page.cursor and _with_cursor(request, page.cursor)
        return private(Response({"results": page.chats, "next": following}), page.etag)

    @extend_schema(
        operation_id="ask_first",
        request=NewChatSerializer,
        responses=TURN_RESPONSES,
        parameters=[KEY_HEADER],
    )
    async def post(self, request: Request) -> HttpResponseBase:
        """Make a chat, and answer its first question."""
        text = checked_question(self.sent.get("text", ""))
        slug = self.sent.get("collection")
        if not isinstance(slug, str) or not slug:
            raise InvalidInput(
                _("Say which collection to ask."), fields={"collection": _("Missing.")}
            )
        collection = await in_database_thread(get_collection_for, self.user, slug)
        return await answered(self, Ask(text, key_of(request), collection=collection))


class TurnsView(AskingView):
    """The questions of a chat."""

    @extend_schema(
        operation_id="ask",
        request=QuestionSerializer,
        responses=TURN_RESPONSES,
        parameters=[KEY_HEADER],
    )
    async def post(self, request: Request, chat_id: UUID) -> HttpResponseBase:
        """Ask the next question in a chat."""
        text = checked_question(self.sent.get("text", ""))
        return await answered(self, Ask(text, key_of(request), chat=chat_id))


class RegenerateView(AskingView):
    """An answer, once more."""

    @extend_schema(
        operation_id="regenerate",
        request=None,
        responses=TURN_RESPONSES,
        parameters=[KEY_HEADER],
    )
    async def post(self, request: Request, message_id: UUID) -> HttpResponseBase:
        """Answer the last question anew. The earlier answer stays among the versions."""
        revision = Revision(Kind.REGENERATE, message_id, key_of(request))
        return await answered(self, revision)


class ContinueView(AskingView):
    """The rest of an answer."""

    @extend_schema(
        operation_id="continue",
        request=None,
        responses=TURN_RESPONSES,
        parameters=[KEY_HEADER],
    )
    async def post(self, request: Request, message_id: UUID) -> HttpResponseBase:
        """Go on with the last answer where it was interrupted, stopped or failed; its text begins the new version."""
        return await answered(self, Revision(Kind.CONTINUE, message_id, key_of(request)))


class EditView(AskingView):
    """A question, put differently."""

    @extend_schema(
        operation_id="edit",
        request=QuestionSerializer,
        responses=TURN_RESPONSES,
        parameters=[KEY_HEADER],
    )
    async def post(self, request: Request, message_id: UUID) -> HttpResponseBase:
        """Ask the last question in other words. What was there before stays among the versions."""
        text = checked_question(self.sent.get("text", ""))
        return await answered(self, Revision(Kind.EDIT, message_id, key_of(request), text))


class ChatStreamView(AsyncAPIView):
    """What runs in a chat."""

    @extend_schema(
        operation_id="follow_chat",
        parameters=[EVENT_HEADER],
        responses={
            (200, "text/event-stream"): _STREAM,
            204: OpenApiResponse(description="Nothing runs."),
        },
    )
    async def get(self, request: Request, chat_id: UUID) -> HttpResponseBase:
        """The running turn's stream."""
        turn = await in_database_thread(selectors.find_running_turn, self.user, chat_id)
        if turn is None or (await reaper.get_turn_for(self.user, turn)).is_final:
            return HttpResponse(status=204)
        return await _stream(self, turn)


class TurnStreamView(AsyncAPIView):
    """One turn's stream."""

    @extend_schema(
        operation_id="follow_turn",
        parameters=[EVENT_HEADER],
        responses={(200, "text/event-stream"): _STREAM},
    )
    async def get(self, request: Request, turn_id: UUID) -> HttpResponseBase:
        """A turn's stream, from its beginning or after `Last-Event-ID`; one that has ended is told again."""
        await reaper.get_turn_for(self.user, turn_id)
        return await _stream(self, turn_id)


class StopView(AsyncAPIView):
    """Stopping a turn."""

    @extend_schema(
        operation_id="stop_turn",
        request=None,
        responses=TurnSerializer,
    )
    async def post(self, request: Request, turn_id: UUID) -> HttpResponseBase:
        """Stop a turn; the text so far is kept. One that has ended stays as it is."""
        await in_database_thread(turns.request_stop, self.user, turn_id)
        get_runner().stop(turn_id)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await final_view(self, turn_id)
        except TimeoutError:
            pass  # its runner is another process, which has been asked
        return Response(await in_database_thread(turn_document, self.user, turn_id))


async def answered(view: AsyncAPIView, ask: Ask | Revision) -> HttpResponseBase:
    """Begin the turn, or find it by its key, and return it as the client accepts it."""
    begun = await get_runner().start(view.user, ask, token=view.token)
    headers = rate_limit_headers(begun.quotas)
    if wants_stream(view.request):
        stream = await _stream(view, begun.turn)
        for name, value in headers.items():
            stream[name] = value
        return stream
    final = await final_view(view, begun.turn)
    document = await in_database_thread(turn_document, view.user, begun.turn)
    return Response(document, status=status_of(final), headers=headers)


async def final_view(view: AsyncAPIView, turn: UUID) -> TurnView:
    """Return the turn when it has ended."""
    async with aclosing(get_runner().watch(view.user, turn)) as changes:
        async for change in changes:
            if change is not None and change.is_final:
                return change
    raise ServiceUnavailable(_("The server is restarting. Try again in a moment."))


def turn_document(user: Any, turn_id: UUID) -> dict[str, Any]:
    """Return the turn as one JSON document."""
    view = selectors.get_turn_for(user, turn_id)
    document = {
        "turn": str(view.turn),
        "chat": str(view.chat),
        "status": view.status.value,
        "message": selectors.get_message_for(user, view.answer),
        "title": view.title,
    }
    if view.error:
        document["error"] = {key: view.error[key] for key in ("code", "message")}
    return document


def status_of(view: TurnView) -> int:
    """Return the HTTP status of a final turn: its error's, if it has one."""
    if view.status in (State.FAILED, State.INTERRUPTED) and view.error:
        return int(view.error.get("status", 500))
    return 200


def key_of(request: Request) -> str:
    """Return the request's Idempotency-Key, a new one if it has none. Raises InvalidInput."""
    key = str(request.headers.get("Idempotency-Key", "")).strip()
    if len(key) > KEY_MAX_CHARACTERS:
        raise InvalidInput(
            _("The Idempotency-Key is longer than %(limit)d characters.")
            % {"limit": KEY_MAX_CHARACTERS},
            fields={"Idempotency-Key": _("too long")},
        )
    return key or uuid4().hex


async def _stream(view: AsyncAPIView, turn: UUID) -> HttpResponseBase:
    return await stream_response(
        get_runner().watch(view.user, turn),
        last_event_id=str(view.request.headers.get("Last-Event-ID", "")),
    )


def _with_cursor(request: Request, cursor: str) -> str:
    parameters = request.query_params.copy()
    parameters["cursor"] = cursor
    return request.build_absolute_uri(f"{request.path}?{parameters.urlencode()}")


def _flag(value: str, *, name: str) -> bool | None:
    known: Mapping[str, bool | None] = {
        "": None,
        "true": True,
        "1": True,
        "false": False,
        "0": False,
    }
    if value.lower() not in known:
        raise InvalidInput(
            _("%(name)s is either true or false.") % {"name": name}, fields={name: _("not a flag")}
        )
    return known[value.lower()]
