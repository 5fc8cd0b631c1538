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
from mundap.chats import services, store
from mundap.chats.entity_tags import known_etags, not_modified, private
from mundap.chats.serializers import (
    ChatChangeSerializer,
    ChatSerializer,
    FeedbackSerializer,
    MessageSerializer,
)


class ChatView(APIView):
    """One chat."""

    @extend_schema(
        operation_id="get_chat",
        parameters=[
            OpenApiParameter("before", str, description="As in `before`: the messages before it."),
            OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER),
        ],
        responses={200: ChatSerializer, 304: None},
    )
    def get(self, request: Request, chat_id: UUID) -> HttpResponseBase:
        """A chat with its last 50 messages, oldest first, and its running turn."""
        return _chat(request, chat_id, before=request.query_params.get("before", ""))

    @extend_schema(
        operation_id="change_chat",
        request=ChatChangeSerializer,
        responses={200: ChatSerializer},
    )
    def patch(self, request: Request, chat_id: UUID) -> HttpResponseBase:
        """Change a chat's title, or pin it."""
        data = ChatChangeSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        if data.validated_data:
            services.change_chat(_user(request), chat_id, **data.validated_data)
        return _chat(request, chat_id)

    @extend_schema(
        operation_id="delete_chat",
        responses={204: OpenApiResponse(description="It is gone, for now.")},
    )
    def delete(self, request: Request, chat_id: UUID) -> HttpResponseBase:
        """Delete a chat. It can be restored for 30 days."""
        services.delete_chat(_user(request), chat_id)
        return Response(status=204)


class RestoreView(APIView):
    """Undoing a deletion."""

    @extend_schema(operation_id="restore_chat", request=None, responses={200: ChatSerializer})
    def post(self, request: Request, chat_id: UUID) -> HttpResponseBase:
        """Bring a deleted chat back."""
        services.restore_chat(_user(request), chat_id)
        return _chat(request, chat_id)


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
        services.rate_message(
            _user(request),
            message_id,
            rating=data.validated_data["rating"] or "",
            comment=data.validated_data["comment"],
        )
        return Response(store.get_message_for(_user(request), message_id))


class SelectView(APIView):
    """Choosing among versions."""

    @extend_schema(
        operation_id="select_version",
        request=None,
        responses={200: ChatSerializer},
    )
    def post(self, request: Request, message_id: UUID) -> HttpResponseBase:
        """Make this version of the last question or answer the current one."""
        return _chat(request, services.select_version(_user(request), message_id))


def _chat(request: Request, chat_id: UUID, *, before: str = "") -> HttpResponseBase:
    """Return the chat as it is stored now; 304 to a GET whose client has it already."""
    known = known_etags(request) if request.method == "GET" else ()
    body = store.read(_user(request), chat_id, before=before, known_etags=known)
    if body.content is None:
        return not_modified(body.etag)
    return private(HttpResponse(body.content, content_type="application/json"), body.etag)


def _user(request: Request) -> User:
    return cast("User", request.user)
