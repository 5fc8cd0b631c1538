"""Reads of people and their tokens."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from mundap.accounts.models import ApiToken, User
from mundap.errors import NotFound


def find_user_by_email(email: str) -> User | None:
    """Return the user with this address, in any case, or None."""
    return User.objects.with_address(email).first()


def list_tokens_for(user: User) -> QuerySet[ApiToken]:
    """Return the user's tokens, newest first; there are at most `tokens.TOKENS_PER_USER`."""
    return ApiToken.objects.filter(user=user).select_related("allowance").order_by("-id")


def get_token_for(user: User, token_id: UUID) -> ApiToken:
    """Return the user's token. Raises NotFound, also for another user's."""
    token = ApiToken.objects.filter(user=user, pk=token_id).first()
    if token is None:
        raise NotFound(_("You have no such token."))
    return token
