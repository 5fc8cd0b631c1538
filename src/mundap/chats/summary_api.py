"""Summaries over HTTP: read as they stand, made on demand."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.translation import get_language
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from mundap.chats import summaries
from mundap.chats.async_view import AskingView
from mundap.chats.serializers import CitationSerializer, Object, TurnErrorSerializer
from mundap.chats.summaries import ShownSummary
from mundap.config.fields import BoundedTextField
from mundap.config.threads import in_database_thread
from mundap.library.models import Summary

SECTION_BYTES = 2000
POLL_SECONDS = 2


class SummaryQuerySerializer(Object):
    """What is to be summarised, and in which language."""

    section = BoundedTextField(
        max_bytes=SECTION_BYTES,
        required=False,
        help_text="A passage's id, or headings with `›` between them; all of the collection when not given.",
    )
    language = serializers.ChoiceField(
        choices=settings.LANGUAGES, required=False, help_text="The request's own when not given."
    )


class SummaryProgressSerializer(Object):
    """Calls of the model."""

    done = serializers.IntegerField()
    total = serializers.IntegerField()


class SummarySerializer(Object):
    """A summary; an outline, made without a model, until it is `ready`."""

    collection = serializers.SlugField()
    title = serializers.CharField(help_text="Of what is summarised.")
    headings = serializers.ListField(child=serializers.CharField(), help_text="The section's.")
    language = serializers.CharField()
    state = serializers.ChoiceField(choices=Summary.State.choices)
    text = serializers.CharField(help_text="Markdown with markers as in answers.")
    citations = CitationSerializer(many=True)
    refusal = serializers.CharField(help_text="Why a model cannot make one; empty when it can.")
    progress = SummaryProgressSerializer()
    error = TurnErrorSerializer(allow_null=True, help_text="Why the last attempt failed.")
    model = serializers.CharField(help_text="Who wrote it; empty for an outline.")
    made_at = serializers.DateTimeField(allow_null=True)


class SummaryView(AskingView):
    """A collection's summary, or a section's."""

    @extend_schema(
        operation_id="get_summary",
        parameters=[SummaryQuerySerializer],
        responses=SummarySerializer,
    )
    async def get(self, request: Request, slug: str) -> Response:
        """The summary as it stands; an outline where none has been made."""
        asked = _wish(request.query_params)
        return _reply(await in_database_thread(summaries.read, self.user, slug, **asked))

    @extend_schema(
        operation_id="make_summary",
        request=SummaryQuerySerializer,
        responses={200: SummarySerializer, 202: SummarySerializer},
    )
    async def post(self, request: Request, slug: str) -> Response:
        """Have the summary made; 202 as long as it is being made: GET says when it is there."""
        return _reply(await summaries.make(self.user, slug, token=self.token, **_wish(self.sent)))


def _wish(given: Any) -> dict[str, str]:
    """Return what is to be read or made. Raises ValidationError."""
    asked = SummaryQuerySerializer(data=given)
    asked.is_valid(raise_exception=True)
    return {
        "section": asked.validated_data.get("section", ""),
        "language": asked.validated_data.get("language")
        or get_language()
        or settings.LANGUAGE_CODE,
    }


def _reply(shown: ShownSummary) -> Response:
    document = {
        "collection": shown.collection.slug,
        "title": shown.title,
        "headings": shown.headings,
        "language": shown.language,
        "state": shown.state,
        "text": shown.text,
        "citations": shown.citations,
        "refusal": shown.refusal,
        "progress": {"done": shown.calls, "total": shown.calls_total},
        "error": shown.error,
        "model": shown.model,
        "made_at": shown.made_at,
    }
    is_making = shown.state == Summary.State.MAKING
    return Response(
        SummarySerializer(document).data,
        status=202 if is_making else 200,
        headers={"Retry-After": str(POLL_SECONDS)} if is_making else None,
    )
