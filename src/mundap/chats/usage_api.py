"""What is left, for programs."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mundap.accounts.models import User
from mundap.chats.limits import standing_of
from mundap.chats.serializers import Object
from mundap.chats.usage import has_price


class QuotaSerializer(Object):
    """How much of something has been used, and until when."""

    name = serializers.CharField()
    allowed = serializers.JSONField(allow_null=True, help_text="Null: no limit. Money is text.")
    used = serializers.JSONField()
    left = serializers.JSONField(allow_null=True)
    resets_at = serializers.DateTimeField()


class StandingSerializer(Object):
    """What you have used and may use, in days and months of the server's time zone."""

    time_zone = serializers.CharField()
    currency = serializers.CharField()
    has_price = serializers.BooleanField(
        help_text="Whether the language model has a price here; one without counts as free."
    )
    questions_per_day = QuotaSerializer()
    tokens_per_month = QuotaSerializer()
    spending_per_month = QuotaSerializer()
    token_questions_per_day = QuotaSerializer(
        allow_null=True, help_text="Of the API token that asks; null where none does."
    )


class UsageView(APIView):
    """The user's usage."""

    @extend_schema(operation_id="get_usage", responses=StandingSerializer)
    def get(self, request: Request) -> Response:
        """What you have used and may use today and this month."""
        token = getattr(request.auth, "pk", None)
        standing = standing_of(cast("User", request.user).pk, token)
        document: dict[str, Any] = {
            "time_zone": settings.TIME_ZONE,
            "currency": settings.CURRENCY,
            "has_price": has_price(),
            "questions_per_day": standing.questions.as_json(),
            "tokens_per_month": standing.tokens.as_json(),
            "spending_per_month": standing.spending.as_json(),
            "token_questions_per_day": standing.of_token.as_json() if token else None,
        }
        response = Response(document)
        response["Cache-Control"] = "no-store"
        return response
