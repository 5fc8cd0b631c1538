"""Limits on attempts (log-in, sign-up, mails), counted in Postgres so that they hold without Redis.

A count runs for a fixed period from its first attempt. allauth's own limits are off: they live in the cache, and
without one they refuse everybody after a second of waiting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from django.conf import settings
from django.db import connection

from mundap.accounts.models import AttemptCount


@dataclass(frozen=True, slots=True)
class AttemptLimit:
    """At most `amount` attempts in `seconds`."""

    name: str
    amount: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt under a limit by whoever `parts` name (an e-mail address, a network address, both)."""

    limit: AttemptLimit
    parts: tuple[str, ...]

    @property
    def digest(self) -> bytes:
        """The row's key: no address can be read from it."""
        text = "\0".join((self.limit.name, *(part.lower() for part in self.parts)))
        key = blake2b(settings.TOKEN_KEY.encode()).digest()
        return blake2b(text.encode("utf-8", "replace"), key=key, digest_size=32).digest()


# Failed log-ins. The first stops guessing at one account without letting a stranger elsewhere lock its owner out;
# the second stops trying one password on many accounts; the third, guessing from many addresses.
LOGIN_BY_ACCOUNT_AND_ADDRESS = AttemptLimit("login-both", 5, 5 * 60)
LOGIN_BY_ADDRESS = AttemptLimit("login-address", 50, 5 * 60)
LOGIN_BY_ACCOUNT = AttemptLimit("login-account", 100, 60 * 60)
MAILS_TO_ONE_RECIPIENT = AttemptLimit("mail", 5, 60 * 60)

# Two statements a new period: the second forgets a few periods that are over, so that the table stays small.
_COUNT = """
    INSERT INTO accounts_attemptcount AS kept (digest, count, resets_at)
    VALUES (%s, 1, now() + make_interval(secs => %s))
    ON CONFLICT (digest) DO UPDATE SET
        count = CASE WHEN kept.resets_at <= now() THEN 1 ELSE least(kept.count, 1000000) + 1 END,
        resets_at = CASE WHEN kept.resets_at <= now() THEN excluded.resets_at ELSE kept.resets_at END
    RETURNING count
"""
_GIVE_BACK = """
    UPDATE accounts_attemptcount SET count = greatest(count - 1, 0)
    WHERE digest = ANY(%s) AND resets_at > now()
"""
_FORGET_EXPIRED = """
    DELETE FROM accounts_attemptcount WHERE digest IN (
        SELECT digest FROM accounts_attemptcount WHERE resets_at <= now() LIMIT 20 FOR UPDATE SKIP LOCKED
    )
"""


def count_attempt(attempt: Attempt) -> bool:
    """Count one attempt; True while it is within its limit. Counting and judging are one statement."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [attempt.digest, attempt.limit.seconds])
        (count,) = cursor.fetchone()
        if count == 1:
            cursor.execute(_FORGET_EXPIRED)
    return bool(count <= attempt.limit.amount)


def count_login(*, email: str, address: str) -> bool:
    """Count a log-in before its password is looked at; False when there were too many failures.

    It is counted first, and given back by `give_back_login` on success, so that guesses sent at the same moment
    cannot slip past the limit together.
    """
    return all(count_attempt(attempt) for attempt in _login_attempts(email, address))


def give_back_login(*, email: str, address: str) -> None:
    """Take back what a successful log-in counted; the failures before it stay."""
    give_back(_login_attempts(email, address))


def forget_login_failures(*, email: str, address: str) -> None:
    """Forget the failures of an account, for its owner who has just proved to own its mailbox."""
    digests = [
        attempt.digest for attempt in _login_attempts(email, address) if email in attempt.parts
    ]
    AttemptCount.objects.filter(digest__in=digests).delete()


def _login_attempts(email: str, address: str) -> list[Attempt]:
    return [
        Attempt(LOGIN_BY_ACCOUNT_AND_ADDRESS, (email, address)),
        Attempt(LOGIN_BY_ADDRESS, (address,)),
        Attempt(LOGIN_BY_ACCOUNT, (email,)),
    ]


def give_back(attempts: Sequence[Attempt]) -> None:
    """Take back one count of each: what was tried went well."""
    with connection.cursor() as cursor:
        cursor.execute(_GIVE_BACK, [[attempt.digest for attempt in attempts]])
