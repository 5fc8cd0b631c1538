"""The tokens of the signed-in user. Sign-up, log-in and passwords are allauth's, under /_allauth/."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mundap.accounts import schema as _schema  # noqa: F401  # registers itself
from mundap.accounts.models import ApiToken, User
from mundap.accounts.selectors import get_token_for, list_tokens_for
from mundap.accounts.tokens import MOST_QUESTIONS_PER_DAY, is_limited, make_token, take_back
from mundap.errors import NotAllowed

_OWN_LIMIT = "How many questions a day may be asked with it; null: as many as you may."


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    """A token as it is listed: without its secret."""

    questions_per_day = serializers.IntegerField(
        source="allowance.questions_per_day", default=None, allow_null=True, help_text=_OWN_LIMIT
    )

    class Meta:
        model = ApiToken
        fields = ["id", "name", "created_at", "last_used_at", "questions_per_day"]
        read_only_fields = fields


class TokenListSerializer(serializers.Serializer[Any]):
    """All tokens, newest first."""

    results = TokenSerializer(many=True)


class NewTokenSerializer(serializers.Serializer[Any]):
    """The name that tells a token from others, and a limit of its own."""

    name = serializers.CharField(max_length=100)
    questions_per_day = serializers.IntegerField(
        min_value=1,
        max_value=MOST_QUESTIONS_PER_DAY,
        allow_null=True,
        default=None,
        help_text=_OWN_LIMIT,
    )


class MadeTokenSerializer(serializers.Serializer[Any]):
    """A new token with its secret, shown this once."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    token = serializers.CharField(help_text="Sent as `Authorization: Bearer …`; shown only now.")


class TokensView(APIView):
    """GET lists, POST makes."""

    @extend_schema(operation_id="list_tokens", responses=TokenListSerializer)
    def get(self, request: Request) -> Response:
        """Your API tokens, newest first."""
        tokens = list_tokens_for(cast("User", request.user))
        return Response({"results": TokenSerializer(tokens, many=True).data})

    @extend_schema(
        operation_id="make_token", request=NewTokenSerializer, responses={201: MadeTokenSerializer}
    )
    def post(self, request: Request) -> Response:
        """Make an API token. A token with a limit of its own makes none: it could make one without."""
        if is_limited(request.auth):
            raise NotAllowed(_("A token with a limit of its own cannot make tokens."))
        data = NewTokenSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        token, secret = make_token(cast("User", request.user), **data.validated_data)
        made = {"id": token.pk, "name": token.name, "token": secret}
        return Response(MadeTokenSerializer(made).data, status=status.HTTP_201_CREATED)


class TokenView(APIView):
    """One token."""

    @extend_schema(
        operation_id="delete_token", responses={204: OpenApiResponse(description="It is gone.")}
    )
    def delete(self, request: Request, token_id: UUID) -> Response:
        """Delete a token: it stops working at once."""
        take_back(get_token_for(cast("User", request.user), token_id))
        return Response(status=status.HTTP_204_NO_CONTENT)
