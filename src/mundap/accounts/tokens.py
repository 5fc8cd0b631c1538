"""API tokens: made once, stored as a keyed digest, looked up by it."""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from mundap.accounts import audit
from mundap.accounts.models import Allowance, ApiToken, User
from mundap.config.keys import each_token_key, key_id, keyed_digest
from mundap.errors import Conflict

PREFIX = "mundap_"
TOKENS_PER_USER = 50
MOST_QUESTIONS_PER_DAY = 1_000_000  # that a token's own limit may be
_MAX_CHARACTERS = 200
_USE_IS_WRITTEN_EVERY = timedelta(minutes=1)
# `find_token` as a subquery of one value, the digest, for reads that take the owner and more in one statement.
# A token whose use is to be noted is not found: whoever asks goes on to `find_token`.
OWNER_BY_DIGEST = """
    SELECT a.user_id FROM accounts_apitoken a JOIN accounts_user u ON u.id = a.user_id
    WHERE a.digest = %s AND u.is_active AND a.last_used_at > now() - interval '1 minute'
"""


def token_digest(token: str, *, key: str | None = None) -> bytes:
    """Return what is stored of a token: 32 bytes that nobody without the key, TOKEN_KEY, can check a guess against."""
    return keyed_digest(token.encode("utf-8", "replace"), key=key or settings.TOKEN_KEY)


def make_token(
    user: User, *, name: str, questions_per_day: int | None = None
) -> tuple[ApiToken, str]:
    """Return a new stored token and its secret, which is never shown again. Raises Conflict at the limit.

    It may ask so many questions a day, and no more than its owner may.
    """
    secret = PREFIX + secrets.token_urlsafe(32)
    with transaction.atomic():
        # The lock makes the count true when one user makes several at once.
        User.objects.select_for_update().only("pk").get(pk=user.pk)
        if ApiToken.objects.filter(user=user).count() >= TOKENS_PER_USER:
            raise Conflict(
                _("You have %(count)d tokens, which is the limit. Delete one first.")
                % {"count": TOKENS_PER_USER}
            )
        made = ApiToken(user=user, name=name, digest=token_digest(secret))
        made.key_id = key_id(settings.TOKEN_KEY)
        made.save(force_insert=True)
        if questions_per_day:
            Allowance.objects.create(token=made, questions_per_day=questions_per_day)
        audit.record("token.made", whom=user, about=f"token:{made.pk}")
        return made, secret


def is_limited(token: object) -> bool:
    """Tell whether it is a token that has a limit of its own."""
    return isinstance(token, ApiToken) and Allowance.objects.filter(token=token).exists()


def take_back(token: ApiToken) -> None:
    """Delete the token: it stops working at once."""
    with transaction.atomic():
        audit.record("token.taken_back", whom=token.user, about=f"token:{token.pk}")
        token.delete()


def find_bearer_token(header: str) -> str | None:
    """Return the token of an Authorization header, None where it is of another kind."""
    scheme, _space, token = header.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def is_possible(token: str) -> bool:
    """Tell whether a token looks like one of ours; anything else need not be looked up."""
    return token.startswith(PREFIX) and len(token) <= _MAX_CHARACTERS


def find_token(token: str) -> ApiToken | None:
    """Return the token with its user, who is active. Notes the use, at most once a minute."""
    if not is_possible(token):
        return None
    digests = each_token_key(lambda key: token_digest(token, key=key))
    found = (
        ApiToken.objects.select_related("user")
        .filter(digest__in=digests, user__is_active=True)
        .first()
    )
    if found is None:
        return None
    if found.key_id != (present := key_id(settings.TOKEN_KEY)):
        ApiToken.objects.filter(pk=found.pk).update(digest=digests[0], key_id=present)
    _note_use(found)
    return found


def count_under_former_keys() -> int:
    """Return how many tokens have not been used since the key was changed: they need the former one."""
    return ApiToken.objects.exclude(key_id=key_id(settings.TOKEN_KEY)).count()


def _note_use(token: ApiToken) -> None:
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at <= now - _USE_IS_WRITTEN_EVERY:
        stale = Q(last_used_at=None) | Q(last_used_at__lte=now - _USE_IS_WRITTEN_EVERY)
        ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=now)
