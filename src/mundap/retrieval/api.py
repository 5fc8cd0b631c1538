"""Search in one collection over HTTP, without an answer."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mundap.accounts.models import User
from mundap.config.fields import BoundedTextField
from mundap.library.selectors import get_collection_for
from mundap.retrieval.search import ScoredPassage, search

_MOST_RESULTS = 50


class SearchQuerySerializer(serializers.Serializer[Any]):
    """What to search for."""

    q = BoundedTextField(max_bytes=settings.QUESTION_MAX_BYTES, help_text="A question or words.")
    k = serializers.IntegerField(
        min_value=1, max_value=_MOST_RESULTS, default=10, help_text="How many passages."
    )


class FoundPassageSerializer(serializers.Serializer[Any]):
    """A passage that was found."""

    passage = serializers.UUIDField(help_text="Its id, as in /api/v1/passages/{id}/.")
    document = serializers.CharField(help_text="The document's title.")
    path = serializers.CharField()
    url = serializers.CharField(help_text="Opens the page at the passage; may be empty.")
    headings = serializers.ListField(child=serializers.CharField())
    text = serializers.CharField()
    score = serializers.FloatField(help_text="Orders one result; it says nothing across results.")


class SearchResultSerializer(serializers.Serializer[Any]):
    """The passages, best first."""

    results = FoundPassageSerializer(many=True)
    is_supported = serializers.BooleanField(
        help_text="Whether the best of them fit well enough to answer from."
    )


class SearchView(APIView):
    """Passages for a question."""

    @extend_schema(
        operation_id="search_collection",
        parameters=[SearchQuerySerializer],
        responses=SearchResultSerializer,
    )
    def get(self, request: Request, slug: str) -> Response:
        """The passages of a collection that fit a question, best first."""
        asked = SearchQuerySerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        collection = get_collection_for(cast("User", request.user), slug)
        found = search(collection, [asked.validated_data["q"]], limit=asked.validated_data["k"])
        results = [_as_json(passage) for passage in found.passages]
        shown = {"results": results, "is_supported": found.is_supported}
        return Response(SearchResultSerializer(shown).data)


def _as_json(found: ScoredPassage) -> dict[str, Any]:
    return {
        "passage": found.passage,
        "document": found.title,
        "path": found.path,
        "url": found.url,
        "headings": list(found.headings),
        "text": found.text,
        "score": found.score,
    }
