"""Taking a chat elsewhere over HTTP: as a file, or as a link that others may read."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from mundap.chats import exporting, sharing
from mundap.chats.async_view import AsyncAPIView
from mundap.chats.serializers import ExportedChatSerializer, ShareSerializer
from mundap.config.threads import in_database_thread


class ExportView(AsyncAPIView):
    """A chat as a file."""

    @extend_schema(
        operation_id="export_chat",
        parameters=[
            OpenApiParameter("format", str, enum=[*exporting.CONTENT_TYPES], default="json"),
        ],
        responses={
            (200, "application/json"): ExportedChatSerializer,
            (200, "text/markdown"): OpenApiResponse(
                OpenApiTypes.STR, description="The current messages, each answer with its sources."
            ),
        },
    )
    async def get(self, request: Request, chat_id: UUID) -> HttpResponseBase:
        """A whole chat as a file: JSON with every version of every message, or Markdown to read."""
        kind = request.query_params.get("format", "json")
        content, name = await in_database_thread(
            exporting.export_chat, self.user, chat_id, kind=kind
        )
        return file_response(content, name, kind=kind)


class ShareView(AsyncAPIView):
    """A chat's link for others."""

    @extend_schema(
        operation_id="share_chat",
        request=None,
        responses={
            200: OpenApiResponse(ShareSerializer, description="The copy was made anew."),
            201: ShareSerializer,
        },
    )
    async def post(self, request: Request, chat_id: UUID) -> HttpResponseBase:
        """Let whoever has the link read a copy of the chat as it is now; once more: the same link, a new copy."""
        share, is_new = await in_database_thread(sharing.share_chat, self.user, chat_id)
        url = request.build_absolute_uri(reverse("pages:shared", args=[sharing.token_of(share)]))
        shown = {"url": url, "created_at": share.created_at, "updated_at": share.updated_at}
        return Response(ShareSerializer(shown).data, status=201 if is_new else 200)

    @extend_schema(
        operation_id="unshare_chat",
        responses={204: OpenApiResponse(description="The link no longer works.")},
    )
    async def delete(self, request: Request, chat_id: UUID) -> HttpResponseBase:
        """Take the link back. It may be taken back twice."""
        await in_database_thread(sharing.take_back, self.user, chat_id)
        return Response(status=204)


def file_response(content: bytes, name: str, *, kind: str) -> HttpResponse:
    """Return the file as a download."""
    disposition = content_disposition_header(as_attachment=True, filename=name) or ""
    return HttpResponse(
        content,
        content_type=exporting.CONTENT_TYPES[kind],
        headers={"Content-Disposition": disposition},
    )
