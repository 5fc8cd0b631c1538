"""Runs over HTTP, for who may change their collection: asked for, followed page by page, cancelled."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mundap.accounts.models import User
from mundap.library.models import Run, RunPage
from mundap.library.paging import PARAMETERS, cut_as_asked
from mundap.library.runs import cancel_run, count_pages, request_run, retry_failed
from mundap.library.selectors import get_collection_to_change_for, get_run_for


class RunSerializer(serializers.Serializer[Any]):
    """One time that a collection is brought up to date."""

    id = serializers.UUIDField()
    collection = serializers.SlugField()
    trigger = serializers.ChoiceField(choices=Run.Trigger.choices)
    state = serializers.ChoiceField(choices=Run.State.choices)
    error = serializers.CharField(help_text="Why it failed; empty when it did not.")
    counts = serializers.DictField(
        child=serializers.IntegerField(), help_text="Pages by what became of them."
    )
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)


class RunPageSerializer(serializers.Serializer[Any]):
    """What became of one page."""

    path = serializers.CharField()
    url = serializers.CharField(help_text="Where it is fetched from; empty for a file.")
    state = serializers.ChoiceField(choices=RunPage.State.choices)
    error = serializers.CharField()
    attempts = serializers.IntegerField(help_text="How often a worker has begun it.")


class RunListSerializer(serializers.Serializer[Any]):
    """The last runs of a collection."""

    results = RunSerializer(many=True)


class RunWithPagesSerializer(RunSerializer):
    """A run with a page of its pages."""

    pages = RunPageSerializer(many=True, help_text="Only the last run of a collection has them.")
    next = serializers.URLField(allow_null=True)


class RunsView(APIView):
    """The runs of a collection."""

    @extend_schema(operation_id="list_runs", responses=RunListSerializer)
    def get(self, request: Request, slug: str) -> Response:
        """The last runs, newest first."""
        collection = get_collection_to_change_for(cast("User", request.user), slug)
        runs = collection.runs.select_related("collection")[:50]
        return Response({"results": [as_json(run) for run in runs]})


class RefreshView(APIView):
    """Bringing a collection up to date."""

    @extend_schema(operation_id="refresh_collection", request=None, responses={202: RunSerializer})
    def post(self, request: Request, slug: str) -> Response:
        """Bring a collection up to date with its source: what has not changed is not read again."""
        user = cast("User", request.user)
        collection = get_collection_to_change_for(user, slug)
        run = request_run(collection, trigger=Run.Trigger.PERSON, user=user)
        return Response(as_json(run), status=status.HTTP_202_ACCEPTED)


class RetryView(APIView):
    """Reading again what could not be read."""

    @extend_schema(operation_id="retry_collection", request=None, responses={202: RunSerializer})
    def post(self, request: Request, slug: str) -> Response:
        """Bring a collection up to date, and read the documents anew that could not be read."""
        user = cast("User", request.user)
        run = retry_failed(get_collection_to_change_for(user, slug), user=user)
        return Response(as_json(run), status=status.HTTP_202_ACCEPTED)


class RunView(APIView):
    """One run."""

    @extend_schema(
        operation_id="get_run",
        parameters=[
            OpenApiParameter(
                "state", str, enum=RunPage.State.values, description="Only such pages."
            ),
            *PARAMETERS,
        ],
        responses=RunWithPagesSerializer,
    )
    def get(self, request: Request, run_id: UUID) -> Response:
        """A run with its pages, in the order in which they are read."""
        run = get_run_for(cast("User", request.user), run_id)
        pages = run.pages.defer("content")
        if state := request.query_params.get("state", ""):
            pages = pages.filter(state=state)
        rows, following = cut_as_asked(pages, "id", request)
        listed = RunPageSerializer(rows, many=True).data
        return Response(as_json(run) | {"pages": listed, "next": following})


class CancelView(APIView):
    """Ending a run."""

    @extend_schema(operation_id="cancel_run", request=None, responses=RunSerializer)
    def post(self, request: Request, run_id: UUID) -> Response:
        """Cancel a run. What it has read stays; one that is over stays as it is."""
        run = get_run_for(cast("User", request.user), run_id)
        cancel_run(run)
        run.refresh_from_db()
        return Response(as_json(run))


def as_json(run: Run) -> dict[str, Any]:
    """Return a run as the API shows it."""
    same = ("id", "trigger", "state", "error", "created_at", "started_at", "ended_at")
    shown = {name: getattr(run, name) for name in same}
    shown |= {"collection": run.collection.slug, "counts": count_pages(run)}
    return dict(RunSerializer(shown).data)
