"""Documents and passages over HTTP, and the files that people give."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mundap.accounts.models import User
from mundap.library import uploads
from mundap.library.models import Document, Passage
from mundap.library.paging import PARAMETERS, cut_as_asked
from mundap.library.runs_api import RunSerializer
from mundap.library.runs_api import as_json as run_json
from mundap.library.selectors import (
    PassageInPlace,
    get_collection_for,
    get_collection_to_change_for,
    get_document_for,
    get_document_to_change_for,
    get_passage_for,
    list_documents,
    list_passages,
)


class PlaceSerializer(serializers.Serializer[Any]):
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
    document = PlaceSerializer()
    headings = serializers.ListField(child=serializers.CharField())
    url = serializers.CharField(help_text="Opens the page at the passage; may be empty.")
    text = serializers.CharField()
    start = serializers.IntegerField(help_text="First character in the document's text.")
    end = serializers.IntegerField(help_text="One after the last character.")
    previous = NeighbourSerializer(allow_null=True)
    next = NeighbourSerializer(allow_null=True)


class DocumentSerializer(serializers.Serializer[Any]):
    """One page or file of a collection."""

    id = serializers.UUIDField()
    path = serializers.CharField()
    title = serializers.CharField()
    url = serializers.CharField(help_text="Where it is published; may be empty.")
    format = serializers.CharField(help_text="What it was read as.")
    size_bytes = serializers.IntegerField()
    state = serializers.ChoiceField(choices=Document.State.choices)
    error = serializers.CharField(help_text="Why it could not be read; empty when it could.")
    updated_at = serializers.DateTimeField()


class DocumentListSerializer(serializers.Serializer[Any]):
    """A page of documents."""

    results = DocumentSerializer(many=True)
    next = serializers.URLField(allow_null=True)


class DocumentPassageSerializer(serializers.Serializer[Any]):
    """A passage among the others of its document."""

    id = serializers.UUIDField()
    position = serializers.IntegerField()
    kind = serializers.CharField()
    headings = serializers.ListField(child=serializers.CharField())
    url = serializers.CharField(help_text="Opens the page at the passage; may be empty.")
    text = serializers.CharField()
    start = serializers.IntegerField()
    end = serializers.IntegerField()
    has_words = serializers.BooleanField(help_text="Is it found by words already?")
    has_vector = serializers.BooleanField(help_text="Is it found by meaning already?")


class DocumentWithPassagesSerializer(DocumentSerializer):
    """A document with a page of its passages."""

    collection = serializers.SlugField()
    passages = DocumentPassageSerializer(many=True)
    next = serializers.URLField(allow_null=True)


class FilesSerializer(serializers.Serializer[Any]):
    """Files, as a form sends them."""

    files = serializers.ListField(child=serializers.FileField(), help_text="One or several.")


class StoredSerializer(serializers.Serializer[Any]):
    """What became of the files."""

    paths = serializers.ListField(child=serializers.CharField())
    run = RunSerializer()


class DocumentsView(APIView):
    """The documents of a collection."""

    @extend_schema(
        operation_id="list_documents",
        parameters=[
            OpenApiParameter("q", str, description="Words of the path or the title."),
            OpenApiParameter("state", str, enum=Document.State.values),
            *PARAMETERS,
        ],
        responses=DocumentListSerializer,
    )
    def get(self, request: Request, slug: str) -> Response:
        """The documents of a collection, by path."""
        collection = get_collection_for(cast("User", request.user), slug)
        given = request.query_params
        found = list_documents(
            collection, query=given.get("q", "").strip(), state=given.get("state", "")
        )
        rows, following = cut_as_asked(found, "path", request)
        return Response({"results": DocumentSerializer(rows, many=True).data, "next": following})


class DocumentView(APIView):
    """One document."""

    @extend_schema(
        operation_id="get_document",
        parameters=PARAMETERS,
        responses=DocumentWithPassagesSerializer,
    )
    def get(self, request: Request, document_id: UUID) -> Response:
        """A document as its passages, in their order."""
        document = get_document_for(cast("User", request.user), document_id)
        rows, following = cut_as_asked(list_passages(document), "position", request)
        passages = [_listed_json(document, passage) for passage in rows]
        return Response(
            DocumentSerializer(document).data
            | {"collection": document.collection.slug, "passages": passages, "next": following}
        )

    @extend_schema(
        operation_id="delete_document",
        responses={204: OpenApiResponse(description="It is gone.")},
    )
    def delete(self, request: Request, document_id: UUID) -> Response:
        """Delete a document that was read from a file which somebody gave, with that file."""
        user = cast("User", request.user)
        uploads.delete_document(user, get_document_to_change_for(user, document_id))
        return Response(status=status.HTTP_204_NO_CONTENT)


class FilesView(APIView):
    """Giving files."""

    parser_classes = [MultiPartParser]

    @extend_schema(
        operation_id="give_files",
        request={"multipart/form-data": FilesSerializer},
        responses={202: StoredSerializer},
    )
    def post(self, request: Request, slug: str) -> Response:
        """Put files into a collection: all of them or none. One of a name that is there is replaced.

        An archive (zip, tar) is taken as the folder that it is.
        """
        user = cast("User", request.user)
        collection = get_collection_to_change_for(user, slug)
        stored = uploads.store_files(user, collection, request.FILES.getlist("files"))
        reply = {"paths": stored.paths, "run": run_json(stored.run)}
        return Response(reply, status=status.HTTP_202_ACCEPTED)


class PassageView(APIView):
    """One passage."""

    @extend_schema(operation_id="get_passage", responses=PassageSerializer)
    def get(self, request: Request, passage_id: UUID) -> Response:
        """A passage with its neighbours in the document."""
        found = get_passage_for(cast("User", request.user), passage_id)
        return Response(PassageSerializer(_passage_json(found)).data)


def _passage_json(found: PassageInPlace) -> dict[str, Any]:
    passage = found.passage
    document = passage.document
    return {
        "id": passage.pk,
        "collection": passage.collection.slug,
        "document": {"title": document.title, "path": document.path, "url": document.url},
        "headings": passage.headings,
        "url": address_of(document, passage),
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


def _listed_json(document: Document, passage: Passage) -> dict[str, Any]:
    same = ("id", "position", "kind", "headings", "text", "start", "end", "has_vector")
    shown = {name: getattr(passage, name) for name in same}
    shown |= {"url": address_of(document, passage), "has_words": passage.lexical_version > 0}
    return dict(DocumentPassageSerializer(shown).data)


def address_of(document: Document, passage: Passage) -> str:
    """Return what opens the published page at the passage; empty where it is published nowhere."""
    has_place = passage.anchor and document.url
    return f"{document.url}#{passage.anchor}" if has_place else document.url
