"""The shelf over HTTP: collections and passages, read only. Search is retrieval's, uploads come later."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mundap.accounts.models import User
from mundap.library.models import Collection, Passage
from mundap.library.selectors import (
    Extent,
    PassageInPlace,
    count_extents,
    get_collection_for,
    get_passage_for,
    list_collections_for,
)

_MOST = 100_000  # collections that can be paged through; far below what an offset in SQL takes


class ReadingSerializer(serializers.Serializer[Any]):
    """How far a running or finished reading of the source is."""

    done = serializers.IntegerField(help_text="Documents read.")
    total = serializers.IntegerField(help_text="Documents found; 0 until they are counted.")


class VectorsSerializer(serializers.Serializer[Any]):
    """How many passages have a vector; search works from words alone until then."""

    done = serializers.IntegerField()
    total = serializers.IntegerField()


class CollectionSerializer(serializers.Serializer[Any]):
    """One collection with its progress."""

    slug = serializers.SlugField()
    title = serializers.CharField()
    category = serializers.CharField()
    title_no = serializers.IntegerField()
    language = serializers.CharField()
    version = serializers.CharField()
    home_page = serializers.CharField()
    licence = serializers.CharField()
    visibility = serializers.ChoiceField(choices=Collection.Visibility.choices)
    state = serializers.ChoiceField(choices=Collection.State.choices)
    error = serializers.CharField(help_text="Why it could not be read; empty when it could.")
    documents = serializers.IntegerField()
    passages = serializers.IntegerField()
    reading = ReadingSerializer()
    vectors = VectorsSerializer()
    ingested_at = serializers.DateTimeField(allow_null=True)


class CollectionListSerializer(serializers.Serializer[Any]):
    """A page of collections."""

    results = CollectionSerializer(many=True)
    next = serializers.URLField(allow_null=True)


class DocumentSerializer(serializers.Serializer[Any]):
    """Where a passage stands."""

    title = serializers.CharField()
    path = serializers.CharField()
    url = serializers.CharField(help_text="The page's published address; may be empty.")


class NeighbourSerializer(serializers.Serializer[Any]):
    """The passage before or after."""

    id = serializers.UUIDField()
    headings = serializers.ListField(child=serializers.CharField())
    text = serializers.CharField()


class PassageSerializer(serializers.Serializer[Any]):
    """A passage in its place."""

    id = serializers.UUIDField()
    collection = serializers.SlugField()
    document = DocumentSerializer()
    headings = serializers.ListField(child=serializers.CharField())
    url = serializers.CharField(help_text="Opens the page at the passage; may be empty.")
    text = serializers.CharField()
    start = serializers.IntegerField(help_text="First character in the document's text.")
    end = serializers.IntegerField(help_text="One after the last character.")
    previous = NeighbourSerializer(allow_null=True)
    next = NeighbourSerializer(allow_null=True)


class _CollectionPages(LimitOffsetPagination):
    default_limit = 50
    max_limit = 100


class CollectionsView(APIView):
    """What is on the shelf."""

    @extend_schema(
        operation_id="list_collections",
        responses=CollectionListSerializer,
        parameters=[
            OpenApiParameter("limit", int, description="At most 100; 50 when not given."),
            OpenApiParameter("offset", int, description="As in `next`."),
        ],
    )
    def get(self, request: Request) -> Response:
        """The collections you may ask, by category and number."""
        pages = _CollectionPages()
        found = list_collections_for(cast("User", request.user))[:_MOST]
        page = pages.paginate_queryset(found, request, view=self) or []
        extents = count_extents(page)
        results = [as_json(collection, extents[collection.pk]) for collection in page]
        return Response({"results": results, "next": pages.get_next_link()})


class CollectionView(APIView):
    """One collection."""

    @extend_schema(operation_id="get_collection", responses=CollectionSerializer)
    def get(self, request: Request, slug: str) -> Response:
        """A collection with its progress."""
        collection = get_collection_for(cast("User", request.user), slug)
        return Response(as_json(collection, count_extents([collection])[collection.pk]))


class PassageView(APIView):
    """One passage."""

    @extend_schema(operation_id="get_passage", responses=PassageSerializer)
    def get(self, request: Request, passage_id: UUID) -> Response:
        """A passage with its neighbours in the document."""
        found = get_passage_for(cast("User", request.user), passage_id)
        return Response(PassageSerializer(_passage_json(found)).data)


def as_json(collection: Collection, extent: Extent) -> dict[str, Any]:
    """Return a collection as the API shows it."""
    shown = {
        "slug": collection.slug,
        "title": collection.title,
        "category": collection.category,
        "title_no": collection.title_no,
        "language": collection.language,
        "version": collection.version,
        "home_page": collection.home_page,
        "licence": collection.licence,
        "visibility": collection.visibility,
        "state": collection.state,
        "error": collection.error,
        "documents": extent.documents,
        "passages": extent.passages,
        "reading": {"done": collection.documents_done, "total": collection.documents_total},
        "vectors": {"done": extent.vectors, "total": extent.passages},
        "ingested_at": collection.ingested_at,
    }
    return dict(CollectionSerializer(shown).data)


def _passage_json(found: PassageInPlace) -> dict[str, Any]:
    passage = found.passage
    document = passage.document
    return {
        "id": passage.pk,
        "collection": passage.collection.slug,
        "document": {"title": document.title, "path": document.path, "url": document.url},
        "headings": passage.headings,
        "url": f"{document.url}#{passage.anchor}"
        if passage.anchor and document.url
        else document.url,
        "text": passage.text,
        "start": passage.start,
        "end": passage.end,
        "previous": _neighbour_json(found.before),
        "next": _neighbour_json(found.after),
    }


def _neighbour_json(passage: Passage | None) -> dict[str, Any] | None:
    if passage is None:
        return None
    return {"id": passage.pk, "headings": passage.headings, "text": passage.text}
