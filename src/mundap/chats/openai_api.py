"""OpenAI's protocol, so that any of its clients can talk to a collection: a collection is a model.

A completion is an answer like any other, with the same limits, but no chat: its client keeps the history and sends it
each time, so nothing is stored, and the answer is stopped when its client leaves. Errors have OpenAI's keys beside
ours (`config/exceptions.py`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from mundap.accounts.models import User
from mundap.chats.async_view import AskingView, AsyncAPIView
from mundap.chats.openai_reply import Reply, error_of
from mundap.chats.openai_request import read_request
from mundap.chats.runner import get_runner
from mundap.chats.selectors import TurnView
from mundap.chats.serializers import CitationSerializer, ErrorSerializer, Object
from mundap.chats.streaming import SSE_HEADERS
from mundap.config.quotas import openai_headers
from mundap.config.threads import in_database_thread
from mundap.errors import NotFound
from mundap.library.models import Collection
from mundap.library.selectors import get_collection_for, list_collections_for

MOST_MODELS = 1000  # the protocol knows no pages
_TAGS = ["openai"]


class ModelSerializer(Object):
    """A collection."""

    id = serializers.CharField(help_text="The collection's short name.")
    object = serializers.CharField()
    created = serializers.IntegerField(help_text="Seconds since 1970.")
    owned_by = serializers.CharField()
    name = serializers.CharField(help_text="The collection's title.")


class ModelListSerializer(Object):
    """The collections you may ask."""

    object = serializers.CharField()
    data = ModelSerializer(many=True)  # type: ignore[assignment]


class CompletionMessageSerializer(Object):
    """What was said. System and developer messages are passed over, tools' are refused."""

    role = serializers.CharField(help_text="`user` or `assistant`; the last is the user's.")
    content = serializers.JSONField(help_text="A text, or a list of parts `{type: text, text}`.")


class StreamOptionsSerializer(Object):
    """How to stream."""

    include_usage = serializers.BooleanField(default=False)


class CompletionRequestSerializer(Object):
    """A question and what was said before; what only tunes a model is passed over."""

    model = serializers.CharField(help_text="A collection's short name.")
    messages = CompletionMessageSerializer(many=True)
    stream = serializers.BooleanField(default=False, allow_null=True)
    stream_options = StreamOptionsSerializer(required=False, allow_null=True)


class UrlCitationSerializer(Object):
    """Where a marker stands in the content, in characters, and where it leads."""

    start_index = serializers.IntegerField()
    end_index = serializers.IntegerField()
    title = serializers.CharField()
    url = serializers.CharField()


class AnnotationSerializer(Object):
    """A marker in the content."""

    type = serializers.CharField(help_text="`url_citation`")
    url_citation = UrlCitationSerializer()


class AnswerMessageSerializer(Object):
    """The answer."""

    role = serializers.CharField()
    content = serializers.CharField()
    refusal = serializers.CharField(allow_null=True, help_text="Always null.")
    annotations = AnnotationSerializer(many=True)


class ChoiceSerializer(Object):
    """The one answer."""

    index = serializers.IntegerField()
    message = AnswerMessageSerializer()
    logprobs = serializers.DictField(allow_null=True, help_text="Always null.")
    finish_reason = serializers.CharField(help_text="`stop`, or `length` where it was cut off.")


class UsageSerializer(Object):
    """The tokens of the model that wrote the answer; zeros where none did, or it did not count."""

    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    total_tokens = serializers.IntegerField()


class CompletionSerializer(Object):
    """An answer. `citations` and `is_answered` are ours."""

    id = serializers.CharField()
    object = serializers.CharField()
    created = serializers.IntegerField()
    model = serializers.CharField()
    choices = ChoiceSerializer(many=True)
    usage = UsageSerializer()
    citations = CitationSerializer(many=True)
    is_answered = serializers.BooleanField(help_text="false: the documents do not say it.")


_STREAM = OpenApiResponse(
    OpenApiTypes.STR, description="Server-sent events: `chat.completion.chunk` objects."
)
_FAILED = OpenApiResponse(ErrorSerializer, description="The answer failed.")


class ModelsView(AsyncAPIView):
    """Collections as models."""

    @extend_schema(operation_id="openai_list_models", tags=_TAGS, responses=ModelListSerializer)
    async def get(self, request: Request) -> HttpResponseBase:
        """The collections you may ask, as OpenAI lists models."""
        models = await in_database_thread(_models, self.user)
        return Response({"object": "list", "data": models})


class ModelView(AsyncAPIView):
    """One collection as a model."""

    @extend_schema(
        operation_id="openai_get_model",
        tags=_TAGS,
        responses=ModelSerializer,
        parameters=[OpenApiParameter("model", str, OpenApiParameter.PATH)],
    )
    async def get(self, request: Request, model: str) -> HttpResponseBase:
        """A collection, as OpenAI shows a model."""
        return Response(_model_json(await in_database_thread(_get_model_for, self.user, model)))


class CompletionsView(AskingView):
    """Answers outside any chat."""

    @extend_schema(
        operation_id="openai_complete",
        tags=_TAGS,
        request=CompletionRequestSerializer,
        responses={
            (200, "application/json"): CompletionSerializer,
            (200, "text/event-stream"): _STREAM,
            **{(status, "application/json"): _FAILED for status in (502, 503, 504)},
        },
    )
    async def post(self, request: Request) -> HttpResponseBase:
        """Answer the last message from the documents; nothing is stored."""
        asked = read_request(self.sent)
        collection = await in_database_thread(_get_model_for, self.user, asked.model)
        runner = get_runner()
        live = await runner.complete(
            self.user,
            asked.question,
            collection=collection,
            history=asked.history,
            token=self.token,
        )
        headers = openai_headers(live.begun.quotas)
        changes = runner.follow(live)
        reply = Reply(f"chatcmpl-{live.begun.turn.hex}", collection.slug, self._passage_url)
        if asked.is_streamed:
            return StreamingHttpResponse(
                reply.chunks(changes, has_usage=asked.has_usage),
                content_type="text/event-stream",
                headers={**SSE_HEADERS, **headers},
            )
        final = await _last(changes)
        if error := error_of(final):
            return Response(error.openai_body, status=error.status, headers=headers)
        return Response(reply.completion(final), headers=headers)

    def _passage_url(self, passage: str) -> str:
        return self.request.build_absolute_uri(reverse("pages:passage", args=[passage]))


async def _last(changes: AsyncGenerator[TurnView | None, None]) -> TurnView:
    """Return the final one; those before it are not kept."""
    async with aclosing(changes):
        async for view in changes:
            if view is not None and view.is_final:
                return view
    raise RuntimeError("an answer's changes end with its final state")


def _models(user: User) -> list[dict[str, Any]]:
    return [_model_json(each) for each in list_collections_for(user)[:MOST_MODELS]]


def _model_json(collection: Collection) -> dict[str, Any]:
    return {
        "id": collection.slug,
        "object": "model",
        "created": int(collection.created_at.timestamp()),
        "owned_by": "mundap",
        "name": collection.title,
    }


def _get_model_for(user: User, model: str) -> Collection:
    """Return the collection with this short name. Raises NotFound, in the protocol's words."""
    try:
        return get_collection_for(user, model)
    except NotFound as exc:
        message = _("There is no such model. GET /v1/models lists those you may ask.")
        raise NotFound(message, fields={"model": message}) from exc
