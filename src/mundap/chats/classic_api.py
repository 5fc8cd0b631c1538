"""The classic contract: the API that this product grew out of, as thin views over the same conversations.

Its errors are `{"error": "…"}`, whatever went wrong (`ErrorReply.classic_body`). A POST is a turn with every rule of
one; the log shows current versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.request import Request
from rest_framework.response import Response

from mundap.accounts.models import User
from mundap.answers.questions import checked_question
from mundap.chats import classic, services
from mundap.chats.async_view import AskingView
from mundap.chats.chat_list import list_chats
from mundap.chats.entity_tags import has_current, known_etags, not_modified, private
from mundap.chats.runner import get_runner
from mundap.chats.serializers import Object
from mundap.chats.turns import Ask
from mundap.chats.turns_api import KEY_HEADER, final_view, key_of, status_of
from mundap.config.quotas import rate_limit_headers
from mundap.config.threads import in_database_thread
from mundap.errors import InvalidInput, NotFound
from mundap.library.models import Collection
from mundap.library.selectors import get_collection_by_number_for

_MOST_TITLE_NO = 2**31 - 1


class ClassicErrorSerializer(Object):
    """Every error."""

    error = serializers.CharField()


class ContentInfoSerializer(Object):
    """What a chat is about; null where the collection is no longer there."""

    category = serializers.CharField(allow_null=True)
    title_no = serializers.IntegerField(allow_null=True)
    title = serializers.CharField(allow_null=True)


class ClassicQuestionSerializer(Object):
    """A question; with `explain` its answer says how it was found."""

    user_input = serializers.CharField()
    explain = serializers.BooleanField(default=False)


class ClassicNewChatSerializer(ClassicQuestionSerializer):
    """The first question of a chat."""

    category = serializers.CharField()
    title_no = serializers.IntegerField()


class ClassicAnswerSerializer(Object):
    """An answer; `multi_query` and `Retriever` only with `explain`."""

    id = serializers.UUIDField()
    AI = serializers.CharField()
    multi_query = serializers.ListField(child=serializers.CharField(), required=False)
    Retriever = serializers.ListField(child=serializers.DictField(), required=False)


class ClassicChatSerializer(Object):
    """A chat with its log."""

    id = serializers.UUIDField()
    title = serializers.CharField()
    content_info = ContentInfoSerializer()
    chatlog = serializers.ListField(child=serializers.DictField())


class ClassicSessionSerializer(Object):
    """A chat in the list of sessions."""

    id = serializers.UUIDField()
    title = serializers.CharField()
    content_info = ContentInfoSerializer()
    conversation = serializers.ListField(child=serializers.DictField())


class ClassicSessionsSerializer(Object):
    """The newest 50 chats, or those after the cursor; `next` is the following cursor."""

    chatsession = ClassicSessionSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class ClassicMessageSerializer(Object):
    """What was done."""

    message = serializers.CharField()


_ERRORS = dict.fromkeys((400, 401, 404, 409, 413, 422, 429, 502, 503, 504), ClassicErrorSerializer)


class _ClassicView(AskingView):
    """Answers as the id of the chat and one text."""

    async def _answered(self, ask: Ask, *, is_explained: bool) -> HttpResponseBase:
        begun = await get_runner().start(self.user, ask, token=self.token)
        headers = rate_limit_headers(begun.quotas)
        final = await final_view(self, begun.turn)
        if status_of(final) != 200 and final.error:
            error = {"error": final.error["message"]}
            return Response(error, status=status_of(final), headers=headers)
        answer: dict[str, Any] = {"id": str(begun.chat), "AI": final.text}
        if is_explained:
            answer |= await in_database_thread(classic.explanation, final.retrieval or {})
        return Response(answer, headers=headers)


class NewChatView(_ClassicView):
    """A new chat."""

    @extend_schema(
        operation_id="classic_ask_first",
        request=ClassicNewChatSerializer,
        responses={200: ClassicAnswerSerializer, **_ERRORS},
        parameters=[KEY_HEADER],
    )
    async def post(self, request: Request) -> HttpResponseBase:
        """Ask the first question about a category's title."""
        text = checked_question(self.sent.get("user_input", ""), field="user_input")
        collection = await in_database_thread(_collection, self.user, self.sent)
        ask = Ask(text, key_of(request), collection=collection)
        return await self._answered(ask, is_explained=_is_explained(self.sent))


class ChatView(_ClassicView):
    """One chat. Its id may be any string: what is none is not found."""

    @extend_schema(
        operation_id="classic_get_chat",
        responses={200: ClassicChatSerializer, 304: None, **_ERRORS},
    )
    async def get(self, request: Request, chat_id: str) -> HttpResponseBase:
        """A chat with its log of up to the newest 1,000 messages."""
        known = known_etags(request)
        etag, document = await classic.read_chat(self.user, _known(chat_id), known_etags=known)
        return not_modified(etag) if document is None else private(Response(document), etag)

    @extend_schema(
        operation_id="classic_ask",
        request=ClassicQuestionSerializer,
        responses={200: ClassicAnswerSerializer, **_ERRORS},
        parameters=[KEY_HEADER],
    )
    async def post(self, request: Request, chat_id: str) -> HttpResponseBase:
        """Ask the next question."""
        chat = _known(chat_id)
        await in_database_thread(classic.require_chat, self.user, chat)
        text = checked_question(self.sent.get("user_input", ""), field="user_input")
        ask = Ask(text, key_of(request), chat=chat)
        return await self._answered(ask, is_explained=_is_explained(self.sent))

    @extend_schema(
        operation_id="classic_delete_chat", responses={200: ClassicMessageSerializer, **_ERRORS}
    )
    async def delete(self, request: Request, chat_id: str) -> HttpResponseBase:
        """Delete a chat."""
        chat = _known(chat_id)
        await in_database_thread(classic.require_chat, self.user, chat)
        await in_database_thread(services.delete_chat, self.user, chat)
        return Response({"message": _("ChatHistory deleted")})

    async def http_method_not_allowed(  # type: ignore[override]
        self, request: Request, chat_id: str
    ) -> HttpResponseBase:
        """Refuse the method, but only for a chat that is there: what is missing is not found by any method."""
        await in_database_thread(classic.require_chat, self.user, _known(chat_id))
        raise MethodNotAllowed(str(request.method))


class SessionsView(_ClassicView):
    """All chats."""

    @extend_schema(
        operation_id="classic_list_chats",
        parameters=[OpenApiParameter("cursor", str, description="As in `next`.")],
        responses={200: ClassicSessionsSerializer, 304: None, **_ERRORS},
    )
    async def get(self, request: Request) -> HttpResponseBase:
        """The newest 50 chats with their logs."""
        cursor = request.query_params.get("cursor", "")
        page = await in_database_thread(
            list_chats, self.user, cursor=cursor, limit=classic.SESSIONS
        )
        if has_current(request, page.etag):
            return not_modified(page.etag)
        chats = [UUID(chat["id"]) for chat in page.chats]
        sessions = await in_database_thread(classic.read_sessions, self.user, chats)
        return private(Response({"chatsession": sessions, "next": page.cursor}), page.etag)


def _collection(user: User, data: Mapping[str, Any]) -> Collection:
    """Return what `category` and `title_no` name. Raises InvalidInput, NotFound."""
    category, number = data.get("category"), data.get("title_no")
    if not isinstance(category, str) or not category:
        raise InvalidInput(_("category is missing."))
    if isinstance(number, str) and number.isascii() and number.isdigit():
        number = int(number) if len(number) < 11 else _MOST_TITLE_NO + 1
    if not isinstance(number, int) or isinstance(number, bool):
        raise InvalidInput(_("title_no must be a whole number."))
    if not 0 <= number <= _MOST_TITLE_NO:
        raise NotFound(_("There is no such collection."))
    return get_collection_by_number_for(user, category=category, title_no=number)


def _known(chat_id: str) -> UUID:
    try:
        return UUID(chat_id)
    except ValueError:
        raise NotFound(classic.NOT_FOUND) from None


def _is_explained(sent: Mapping[str, Any]) -> bool:
    return sent.get("explain") is True
