"""Chats and messages over HTTP, apart from asking, which is in `turns_api.py`."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mundap.accounts.models import User
from mundap.chats import selectors, services, store
from mundap.chats.async_view import AsyncAPIView
from mundap.chats.entity_tags import known_etags, not_modified, private
from mundap.chats.serializers import (
    ChatChangeSerializer,
    ChatSerializer,
    FeedbackSerializer,
    MessageSerializer,
)
from mundap.config import metrics
from mundap.config.threads import in_database_thread


class ChatView(AsyncAPIView):
    """One chat."""

    @extend_schema(
        operation_id="get_chat",
        parameters=[
            OpenApiParameter("before", str, description="As in `before`: the messages before it."),
            OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER),
        ],
        responses={200: ChatSerializer, 304: None},
    )
    async def get(self, request: Request, chat_id: UUID) -> HttpResponseBase:
        """A chat with its last 50 messages, oldest first, and its running turn."""
        before, known = request.query_params.get("before", ""), known_etags(request)
        with metrics.django_read_seconds.time():
            body = await store.read(self.user, chat_id, before=before, known_etags=known)
        return reply(body)

    @extend_schema(
        operation_id="change_chat",
        request=ChatChangeSerializer,
        responses={200: ChatSerializer},
    )
    async def patch(self, request: Request, chat_id: UUID) -> HttpResponseBase:
        """Change a chat's title, or pin it."""
        data = ChatChangeSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        if data.validated_data:
            await in_database_thread(
                services.change_chat, self.user, chat_id, **data.validated_data
            )
        return reply(await store.read(self.user, chat_id))

    @extend_schema(
        operation_id="delete_chat",
        responses={204: OpenApiResponse(description="It is gone, for now.")},
    )
    async def delete(self, request: Request, chat_id: UUID) -> HttpResponseBase:
        """Delete a chat. It can be restored for 30 days."""
        await in_database_thread(services.delete_chat, self.user, chat_id)
        return Response(status=204)


class RestoreView(AsyncAPIView):
    """Undoing a deletion."""

    @extend_schema(operation_id="restore_chat", request=None, responses={200: ChatSerializer})
    async def post(self, request: Request, chat_id: UUID) -> HttpResponseBase:
        """Bring a deleted chat back."""
        await in_database_thread(services.restore_chat, self.user, chat_id)
        return reply(await store.read(self.user, chat_id))


class MessageView(AsyncAPIView):
    """One message."""

    @extend_schema(operation_id="get_message", responses={200: MessageSerializer})
    async def get(self, request: Request, message_id: UUID) -> HttpResponseBase:
        """A question or an answer, also an earlier version of one."""
        return Response(await in_database_thread(selectors.get_message_for, self.user, message_id))


class FeedbackView(APIView):
    """What the reader thinks of an answer."""

    @extend_schema(
        operation_id="rate_message",
        request=FeedbackSerializer,
        responses={200: MessageSerializer},
    )
    def put(self, request: Request, message_id: UUID) -> HttpResponseBase:
        """Rate an answer, or take the rating back."""
        data = FeedbackSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        user = cast("User", request.user)
        services.rate_message(
            user,
            message_id,
            rating=data.validated_data["rating"] or "",
            comment=data.validated_data["comment"],
        )
        return Response(selectors.get_message_for(user, message_id))


class SelectView(AsyncAPIView):
    """Choosing among versions."""

    @extend_schema(
        operation_id="select_version",
        request=None,
        responses={200: ChatSerializer},
    )
    async def post(self, request: Request, message_id: UUID) -> HttpResponseBase:
        """Make this version of the last question or answer the current one."""
        chat = await in_database_thread(services.select_version, self.user, message_id)
        return reply(await store.read(self.user, chat))


def reply(body: store.Body) -> HttpResponse:
    """Return the chat, or the 304 where the client has it already."""
    if body.content is None:
        return not_modified(body.etag)
    return private(HttpResponse(body.content, content_type="application/json"), body.etag)
