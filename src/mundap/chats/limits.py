"""What may begin: questions a day, tokens and spending a month, of a user, a token, and of all together.

An answer begins while anything is left that running ones have not reserved, and then reserves the most that it may take
itself. So a limit is passed by one answer at most, however many begin at once: those of a user one after the other
(`turns.lock_posts`), those of all only where what is left is little (`_require_total`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils.formats import number_format
from django.utils.timesince import timeuntil
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, override
from uuid_utils.compat import uuid7

from mundap.accounts.allowances import limits_of
from mundap.answers.budget import Most, most_of_answer
from mundap.answers.events import Earlier, HistoryMessage
from mundap.answers.language import language_of
from mundap.chats import usage
from mundap.chats.usage import NOBODY, TODAY, Payer, Purpose, most_cost
from mundap.config import metrics
from mundap.config.quotas import Quota, openai_headers, rate_limit_headers
from mundap.errors import QuotaReached
from mundap.llm.metering import Call, note_calls_in

_SPENDING_LOCK = 20_004  # the class of our advisory locks: who looks at what all may yet spend
_WAIT_SECONDS = 5  # for what running answers have reserved and will mostly give back
_MESSAGES = {
    "questions_per_day": gettext_lazy(
        "You have asked as many questions as you may in a day (%(allowed)s). You can go on in %(time)s."
    ),
    "token_questions_per_day": gettext_lazy(
        "As many questions as this token may ask in a day (%(allowed)s) have been asked with it. "
        "It can be used again in %(time)s."
    ),
    "tokens_per_month": gettext_lazy(
        "You have used as much of the language model as you may in a month (%(allowed)s tokens). "
        "You can go on in %(time)s."
    ),
    "spending_per_month": gettext_lazy(
        "You have spent as much on the language model as you may in a month (%(allowed)s %(currency)s). "
        "You can go on in %(time)s."
    ),
    "total_spending_per_month": gettext_lazy(
        "What may be spent on the language model here in a month is used up. It can be asked again in %(time)s."
    ),
}
_CLOCK = f"""
    SELECT day, date_trunc('month', day::timestamp)::date AS month FROM (SELECT {TODAY} AS day) today
"""  # noqa: S608 - a constant
_USED = f"""
    WITH clock AS ({_CLOCK})
    SELECT
        coalesce(sum(u.questions) FILTER (WHERE u.day = clock.day), 0),
        coalesce(sum(u.questions) FILTER (WHERE u.day = clock.day AND u.token_id = %(token)s), 0),
        coalesce(sum(u.input_tokens + u.output_tokens), 0)::bigint,
        coalesce(sum(u.cost), 0),
        (SELECT coalesce(sum(input_tokens + output_tokens), 0)::bigint FROM chats_reservation WHERE user_id = %(user)s),
        (SELECT coalesce(sum(cost), 0) FROM chats_reservation WHERE user_id = %(user)s),
        (clock.day + 1)::timestamp AT TIME ZONE %(zone)s,
        (clock.month + interval '1 month') AT TIME ZONE %(zone)s,
        clock_timestamp()
    FROM clock LEFT JOIN chats_modelusage u ON u.user_id = %(user)s AND u.day >= clock.month
    GROUP BY clock.day, clock.month
"""  # noqa: S608 - constants
_TOTAL = f"""
    WITH clock AS ({_CLOCK})
    SELECT (SELECT coalesce(sum(cost), 0) FROM chats_monthspending s WHERE s.month = clock.month),
           (SELECT coalesce(sum(cost), 0) FROM chats_reservation),
           (clock.month + interval '1 month') AT TIME ZONE %(zone)s,
           clock_timestamp(),
           current_setting('max_connections')::int
    FROM clock
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Standing:
    """What a user may use, has used and has reserved, each in a quota of its own; `of_token` is the token's."""

    questions: Quota
    of_token: Quota
    tokens: Quota
    spending: Quota

    @property
    def quotas(self) -> tuple[Quota, ...]:
        """Return those with a limit."""
        return tuple(
            each
            for each in (self.questions, self.of_token, self.tokens, self.spending)
            if each.allowed
        )


def standing_of(user: UUID, token: UUID | None = None) -> Standing:
    """Return how the user stands, asking through this token if there is one."""
    limits = limits_of(user, token)
    with connection.cursor() as cursor:
        cursor.execute(_USED, {"user": user, "token": token, "zone": settings.TIME_ZONE})
        (questions, of_token, tokens, spent, held, held_cost, day, month, now) = cursor.fetchone()
    return Standing(
        Quota("questions_per_day", limits.questions_per_day, questions, day, now),
        Quota("token_questions_per_day", limits.token_questions_per_day, of_token, day, now),
        Quota("tokens_per_month", limits.tokens_per_month, tokens, month, now, reserved=held),
        Quota("spending_per_month", limits.spending_per_month, spent, month, now, held_cost),
    )


def spending_of_all() -> Quota:
    """Return what all together have spent this month, and may."""
    with connection.cursor() as cursor:
        return _total(cursor)[0]


def admit_answer(
    cursor: CursorWrapper,
    use: UUID,
    payer: Payer,
    question: str,
    history: Sequence[HistoryMessage] = (),
    *,
    earlier: Earlier | None = None,
    purpose: Purpose = Purpose.ANSWER,
) -> tuple[Quota, ...]:
    """Count the question and reserve what its answer may take; return what is left then.

    The cursor's transaction holds the lock on the user's posts. Raises QuotaReached, in the question's language.
    """
    with override(language_of(question)):
        return admit(
            cursor,
            use,
            payer,
            most_of_answer(question, history, earlier=earlier),
            purpose=purpose,
            seconds=settings.TURN_SECONDS + 60,
            is_question=True,
        )


def admit(
    cursor: CursorWrapper,
    use: UUID,
    payer: Payer,
    most: Most,
    *,
    purpose: Purpose,
    seconds: int,
    is_question: bool = False,
) -> tuple[Quota, ...]:
    """Reserve what may be used, for so many seconds, as `admit_answer`. Raises QuotaReached."""
    quotas: tuple[Quota, ...] = ()
    cost = most_cost(most)
    if payer.user:
        standing = standing_of(payer.user, payer.token)
        if is_question:
            _require(standing.questions)
            _require(standing.of_token)
        if most.tokens:
            _require(standing.tokens)
        if cost:
            _require(standing.spending)
        quotas = tuple(_with_question(standing.quotas) if is_question else standing.quotas)
    if cost and settings.TOTAL_SPENDING_PER_MONTH:
        _require_total(cursor, cost)
    usage.begin(cursor, use, payer, most, purpose=purpose, is_question=is_question, seconds=seconds)
    return quotas


@contextmanager
def asking_for_nobody(question: str) -> Iterator[None]:
    """Have the block answer the question within what all together may spend, and enter what it takes without a user.

    Raises QuotaReached.
    """
    use, calls = uuid7(), list[Call]()
    with transaction.atomic(), connection.cursor() as cursor:
        admit_answer(cursor, use, NOBODY, question)
    note_calls_in(calls)
    try:
        yield
    finally:
        usage.settle(use, calls)


def _with_question(quotas: Iterable[Quota]) -> Iterable[Quota]:
    for each in quotas:
        yield replace(each, used=each.used + 1) if each.name.endswith("questions_per_day") else each


def _require_total(cursor: CursorWrapper, cost: Decimal) -> None:
    """Raise QuotaReached where all together may spend no more.

    Who looks at the same moment does not see each other's reservations, and each of them holds a connection. So where
    what is left might not be enough for twice as many as there are connections, they look one after the other.
    """
    quota, connections = _total(cursor)
    left = quota.allowed - quota.used - quota.reserved
    if 0 < left < 2 * connections * cost:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [_SPENDING_LOCK])
        quota, _connections = _total(cursor)
    _require(quota)


def _total(cursor: CursorWrapper) -> tuple[Quota, int]:
    cursor.execute(_TOTAL, {"zone": settings.TIME_ZONE})
    spent, reserved, month, now, connections = cursor.fetchone()
    allowed = settings.TOTAL_SPENDING_PER_MONTH
    return Quota("total_spending_per_month", allowed, spent, month, now, reserved), connections


def _require(quota: Quota) -> None:
    """Raise QuotaReached where nothing is left that is not reserved."""
    if not quota.allowed or quota.used + quota.reserved < quota.allowed:
        return
    metrics.refusals.labels(quota.name).inc()
    if quota.used < quota.allowed:
        raise QuotaReached(
            _(
                "What is being written now may need all that is left of the language model this month. "
                "Try again when some of it has ended."
            ),
            extra={"quota": quota.name, "retry_after_seconds": _WAIT_SECONDS},
        )
    message = _MESSAGES[quota.name] % {
        "allowed": number_format(quota.allowed, force_grouping=True),
        "currency": settings.CURRENCY,
        # Only whole minutes are told: the last one is not none.
        "time": timeuntil(quota.resets_at + timedelta(seconds=59), quota.now),
    }
    raise QuotaReached(
        message,
        extra={
            "quota": quota.name,
            "resets_at": quota.resets_at.isoformat(),
            "retry_after_seconds": quota.seconds_left,
        },
        # The last is for OpenAI's own clients, which would try again twice at once.
        headers={
            **rate_limit_headers([quota]),
            **openai_headers([quota]),
            "x-should-retry": "false",
        },
    )
