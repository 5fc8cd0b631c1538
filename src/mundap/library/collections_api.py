"""Collections over HTTP: what is on the shelf, and how one is added, changed and removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mundap.accounts.models import User
from mundap.config.fields import BoundedTextField
from mundap.library import services, uploads
from mundap.library.deleting import delete_collection
from mundap.library.models import Collection, Run
from mundap.library.selectors import (
    can_change,
    count_extents,
    find_unfinished_runs,
    get_collection_for,
    get_collection_to_change_for,
    list_collections_for,
    list_versions_for,
)
from mundap.library.services import Label
from mundap.library.shown import due_at

_MOST = 100_000  # collections that can be paged through; far below what an offset in SQL takes
_LARGEST_NUMBER = 2**31 - 1
MAX_REFRESH_DAYS = 365
_SAME = (
    *("slug", "title", "category", "title_no", "language", "version", "family", "is_current"),
    *("home_page", "licence", "visibility", "state", "error", "ingested_at"),
)


class ReadingSerializer(serializers.Serializer[Any]):
    """How far a running or finished reading of the source is."""

    done = serializers.IntegerField(help_text="Documents read.")
    total = serializers.IntegerField(help_text="Documents found; 0 until they are counted.")


class VectorsSerializer(serializers.Serializer[Any]):
    """How many passages have a vector; search works from words alone until then."""

    done = serializers.IntegerField()
    total = serializers.IntegerField()


class VersionSerializer(serializers.Serializer[Any]):
    """One of the versions that stand side by side."""

    slug = serializers.SlugField()
    version = serializers.CharField()
    is_current = serializers.BooleanField()


class RefreshSerializer(serializers.Serializer[Any]):
    """When it is brought up to date by itself."""

    days = serializers.IntegerField(help_text="Between two times; 0 for never.")
    due_at = serializers.DateTimeField(allow_null=True)


class UnfinishedRunSerializer(serializers.Serializer[Any]):
    """The run that is bringing it up to date."""

    id = serializers.UUIDField()
    state = serializers.ChoiceField(choices=Run.State.choices)
    counts = serializers.DictField(
        child=serializers.IntegerField(), help_text="Pages by what became of them so far."
    )


class CollectionSerializer(serializers.Serializer[Any]):
    """One collection with its progress."""

    slug = serializers.SlugField()
    title = serializers.CharField()
    category = serializers.CharField()
    title_no = serializers.IntegerField()
    language = serializers.CharField()
    version = serializers.CharField()
    family = serializers.SlugField(help_text="What its versions have in common.")
    is_current = serializers.BooleanField(help_text="Is it the version that is offered first?")
    versions = VersionSerializer(many=True, help_text="All of its family, the current one first.")
    home_page = serializers.CharField()
    licence = serializers.CharField()
    visibility = serializers.ChoiceField(choices=Collection.Visibility.choices)
    can_change = serializers.BooleanField(help_text="May you change, refresh and delete it?")
    source = serializers.CharField(  # type: ignore[assignment]
        help_text="Where it is read from; empty for who may not change it."
    )
    takes_files = serializers.BooleanField(help_text="Is it made of files that people give?")
    state = serializers.ChoiceField(choices=Collection.State.choices)
    error = serializers.CharField(help_text="Why it could not be read; empty when it could.")
    documents = serializers.IntegerField()
    failed = serializers.IntegerField(help_text="Of these, could not be read or fetched again.")
    passages = serializers.IntegerField()
    reading = ReadingSerializer()
    vectors = VectorsSerializer()
    refresh = RefreshSerializer()
    run = UnfinishedRunSerializer(allow_null=True)
    ingested_at = serializers.DateTimeField(
        allow_null=True, help_text="When it was brought up to date."
    )


class CollectionListSerializer(serializers.Serializer[Any]):
    """A page of collections."""

    results = CollectionSerializer(many=True)
    next = serializers.URLField(allow_null=True)


class LabelSerializer(serializers.Serializer[Any]):
    """How a collection is kept."""

    title = serializers.CharField(max_length=200)
    category = serializers.CharField(max_length=100)
    title_no = serializers.IntegerField(
        min_value=1, max_value=_LARGEST_NUMBER, help_text="Its number in its category."
    )
    visibility = serializers.ChoiceField(choices=Collection.Visibility.choices)
    group = serializers.SlugRelatedField(
        slug_field="name",
        queryset=Group.objects.all(),
        help_text="The name of the group that may see it.",
    )
    refresh_days = serializers.IntegerField(min_value=0, max_value=MAX_REFRESH_DAYS)


class ChangeSerializer(LabelSerializer):
    """What can be changed of a collection."""

    is_current = serializers.BooleanField()


class NewCollectionSerializer(LabelSerializer):
    """A new collection: of a source, or for files."""

    source = serializers.CharField(  # type: ignore[assignment]
        max_length=1000, help_text="For staff: where it is read from."
    )
    slug = serializers.SlugField(max_length=100, help_text="For staff: its short name.")
    language = serializers.RegexField(
        r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,6})?$",
        error_messages={"invalid": gettext_lazy("Write it as in en or ko.")},
    )
    family = serializers.SlugField(
        max_length=90, help_text="With a source: the short name of what it is a version of."
    )
    base_url = serializers.RegexField(
        r"^https?://\S+$",
        max_length=500,
        error_messages={"invalid": gettext_lazy("Enter an address of http or https.")},
        help_text="With a source: where its pages are published.",
    )
    content = BoundedTextField(
        max_bytes=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
        help_text="Without a source: the text of its only document, in Markdown.",
    )

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the fields. What only a source has is refused without one."""
        if "source" in given:
            wrong = {"content"} & given.keys()
            message = _("A collection has a source or a content.")
        else:
            wrong = {"family", "base_url", "refresh_days"} & given.keys()
            message = _("Only a collection that is read from a source has this.")
            if "title" not in given:
                raise serializers.ValidationError(
                    {"title": _("Give it a title, or name a source.")}
                )
        if wrong:
            raise serializers.ValidationError(dict.fromkeys(wrong, message))
        return given


class _CollectionPages(LimitOffsetPagination):
    default_limit = 50
    max_limit = 100


class CollectionsView(APIView):
    """What is on the shelf."""

    @extend_schema(
        operation_id="list_collections",
        responses=CollectionListSerializer,
        parameters=[
            OpenApiParameter("category", str, description="Only those of this category."),
            OpenApiParameter("limit", int, description="At most 100; 50 when not given."),
            OpenApiParameter("offset", int, description="As in `next`."),
        ],
    )
    def get(self, request: Request) -> Response:
        """The collections you may ask, by category and number."""
        user = cast("User", request.user)
        pages = _CollectionPages()
        category = request.query_params.get("category", "")
        found = list_collections_for(user, category=category)[:_MOST]
        page = pages.paginate_queryset(found, request, view=self) or []
        return Response({"results": as_json(user, page), "next": pages.get_next_link()})

    @extend_schema(
        operation_id="make_collection",
        request=NewCollectionSerializer,
        responses={201: CollectionSerializer},
    )
    def post(self, request: Request) -> Response:
        """Add a collection: of a source, for staff; or a private one for files or a text, for everybody."""
        data = NewCollectionSerializer(data=request.data, partial=True)
        data.is_valid(raise_exception=True)
        user = cast("User", request.user)
        given = dict(data.validated_data)
        source, content = given.pop("source", ""), given.pop("content", "")
        if source:
            collection, _run = services.add_source(user, source, Label(**given))
        else:
            with transaction.atomic():
                collection = services.make_reference(user, Label(**given))
                if content:
                    uploads.store_text(user, collection, content)
        return Response(as_json(user, [collection])[0], status=status.HTTP_201_CREATED)


class CollectionView(APIView):
    """One collection."""

    @extend_schema(operation_id="get_collection", responses=CollectionSerializer)
    def get(self, request: Request, slug: str) -> Response:
        """A collection with its progress."""
        user = cast("User", request.user)
        return Response(as_json(user, [get_collection_for(user, slug)])[0])

    @extend_schema(
        operation_id="change_collection",
        request=ChangeSerializer(partial=True),
        responses=CollectionSerializer,
    )
    def patch(self, request: Request, slug: str) -> Response:
        """Change how a collection is kept. Who sees it and when it is refreshed is for staff to say."""
        user = cast("User", request.user)
        collection = get_collection_to_change_for(user, slug)
        data = ChangeSerializer(data=request.data, partial=True)
        data.is_valid(raise_exception=True)
        services.change_collection(user, collection, data.validated_data)
        return Response(as_json(user, [collection])[0])

    @extend_schema(
        operation_id="delete_collection",
        responses={204: OpenApiResponse(description="It is gone.")},
    )
    def delete(self, request: Request, slug: str) -> Response:
        """Delete a collection with its documents. Chats about it stay, with what they quoted."""
        user = cast("User", request.user)
        delete_collection(get_collection_to_change_for(user, slug))
        return Response(status=status.HTTP_204_NO_CONTENT)


def as_json(user: User, collections: Sequence[Collection]) -> list[dict[str, Any]]:
    """Return the collections as the API shows them to this user."""
    extents = count_extents(collections)
    versions = list_versions_for(user, collections)
    unfinished = find_unfinished_runs(collections)
    shown = []
    for one in collections:
        extent, running = extents[one.pk], unfinished.get(one.pk)
        is_changeable = can_change(user, one)
        shown.append(
            {name: getattr(one, name) for name in _SAME}
            | {
                "versions": versions.get(one.family, [one]),
                "can_change": is_changeable,
                "source": one.source if is_changeable else "",
                "takes_files": uploads.takes_files(one),
                "documents": extent.documents,
                "failed": extent.failed,
                "passages": extent.passages,
                "reading": {"done": one.documents_done, "total": one.documents_total},
                "vectors": {"done": extent.vectors, "total": extent.passages},
                "refresh": {"days": one.refresh_days, "due_at": due_at(one)},
                "run": running
                and {"id": running.run.pk, "state": running.run.state, "counts": running.counts},
            }
        )
    return [dict(CollectionSerializer(each).data) for each in shown]
