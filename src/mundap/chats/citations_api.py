"""What has become of an answer's sources, over HTTP. The chat itself says what was cited; that never changes."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mundap.accounts.models import User
from mundap.chats.citation_states import CitedState, read_states
from mundap.chats.serializers import Object


class CitationStateSerializer(Object):
    """A citation as it stands on the shelf now."""

    number = serializers.IntegerField(help_text="As in the message's `citations`.")
    state = serializers.ChoiceField(
        choices=CitedState.choices,
        help_text="`moved`: the same text elsewhere; `changed`: its place has another text; `gone`; "
        "`hidden`: its collection is no longer visible to you.",
    )
    note = serializers.CharField(help_text="The same for people; empty where all is as it was.")
    passage = serializers.UUIDField(allow_null=True, help_text="Where it is now.")
    headings = serializers.ListField(child=serializers.CharField())
    path = serializers.CharField()
    url = serializers.CharField(help_text="Opens the page at the passage; may be empty.")
    has_quote = serializers.BooleanField(help_text="Whether the quoted words stand there.")
    is_stale = serializers.BooleanField(help_text="The page could not be read again since.")


class CitedVersionSerializer(Object):
    """A version of a documentation."""

    slug = serializers.SlugField()
    title = serializers.CharField()
    version = serializers.CharField()


class CitationStatesSerializer(Object):
    """An answer's sources now."""

    collection = CitedVersionSerializer(
        allow_null=True, help_text="null: deleted, or no longer visible to you."
    )
    newer = CitedVersionSerializer(
        allow_null=True, help_text="The current version of the documentation, if it is another."
    )
    results = CitationStateSerializer(many=True)


class CitationsView(APIView):
    """The sources of an answer."""

    @extend_schema(operation_id="get_citation_states", responses=CitationStatesSerializer)
    def get(self, request: Request, message_id: UUID) -> Response:
        """What has become of what an answer cited: the documents may have changed since."""
        found = read_states(cast("User", request.user), message_id)
        shown = {
            "collection": found.collection,
            "newer": found.newer,
            "results": found.citations,
        }
        return Response(CitationStatesSerializer(shown).data)
