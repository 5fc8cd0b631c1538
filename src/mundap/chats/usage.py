"""The ledger of the chat model's use: what an answer may take is reserved before it begins, then what it took settled.

Each function is one statement. Sums are kept by user and day, and what all spend together in parts, so that nobody
waits for the turns of others. Reservations that dead processes left are settled as estimated; `limits.py` decides
what may begin. Days and months are those of the instance's time zone, by the database's clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from mundap.answers.budget import Most
from mundap.answers.summarising import AT_ONCE
from mundap.chats.models import MODEL_MAX_CHARACTERS, ModelUsage
from mundap.llm import client
from mundap.llm.metering import Call

Purpose = ModelUsage.Purpose
PARTS = 16  # of a month's spending: so many turns may end at the same moment without waiting
# That the process of a turn or summary has to settle it after its end, or that of its lease.
SETTLING_SECONDS = 15

TODAY = "(clock_timestamp() AT TIME ZONE %(zone)s)::date"
_ADD_UP = """
    ON CONFLICT (user_id, day, model, purpose, token_id) WHERE user_id IS NOT NULL DO UPDATE SET
        questions = kept.questions + excluded.questions,
        calls = kept.calls + excluded.calls,
        estimated_calls = kept.estimated_calls + excluded.estimated_calls,
        input_tokens = kept.input_tokens + excluded.input_tokens,
        output_tokens = kept.output_tokens + excluded.output_tokens,
        cost = kept.cost + excluded.cost
"""
_COLUMNS = """(
    user_id, token_id, day, model, purpose, questions, calls, estimated_calls, input_tokens, output_tokens, cost
)"""
_BEGIN = f"""
    WITH asked AS (
        INSERT INTO chats_modelusage AS kept {_COLUMNS}
        SELECT %(user)s, %(token)s, {TODAY}, %(model)s, %(purpose)s, 1, 0, 0, 0, 0, 0 WHERE %(is_question)s
        {_ADD_UP}
    )
    INSERT INTO chats_reservation (id, user_id, token, model, purpose, input_tokens, output_tokens, cost, expires_at)
    SELECT %(id)s, %(user)s, %(token)s, %(model)s, %(purpose)s, %(input)s, %(output)s, %(cost)s,
           clock_timestamp() + make_interval(secs => %(seconds)s)
    WHERE %(is_reserved)s
"""
_RESERVED = "DELETE FROM chats_reservation WHERE id = %(id)s RETURNING user_id, token"
_PAYER = """
    WITH found AS (SELECT id FROM accounts_user WHERE id = %(user)s FOR KEY SHARE)
    SELECT (SELECT id FROM found) AS user_id, CASE WHEN EXISTS (SELECT FROM found) THEN %(token)s::uuid END AS token
"""


def _add(payer: str) -> str:
    """Return the statement that adds what was used to the sums of whom `payer` gives; it may give nobody."""
    return f"""
        WITH payer AS ({payer}),
        clock AS (SELECT {TODAY} AS day),
        month AS (
            INSERT INTO chats_monthspending AS kept (month, part, cost)
            SELECT date_trunc('month', day::timestamp), abs(hashtext(coalesce(user_id::text, '')) %% {PARTS}), %(total)s
            FROM payer, clock WHERE %(total)s > 0
            ON CONFLICT (month, part) DO UPDATE SET cost = kept.cost + excluded.cost
        )
        INSERT INTO chats_modelusage AS kept {_COLUMNS}
        SELECT user_id, token, day, used.model, used.purpose, 0, used.calls, used.estimated, used.input,
               used.output, used.cost
        FROM payer, clock, unnest(
            %(models)s::text[], %(purposes)s::text[], %(calls)s::int[], %(estimated)s::int[], %(inputs)s::bigint[],
            %(outputs)s::bigint[], %(costs)s::numeric[]
        ) AS used (model, purpose, calls, estimated, input, output, cost)
        {_ADD_UP}
    """  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Payer:
    """Whose the use is: a user's, perhaps through an API token; nobody's on the command line."""

    user: UUID | None = None
    token: UUID | None = None


NOBODY = Payer()


def most_cost(most: Most) -> Decimal:
    """Return what it costs at most."""
    return cost_of(settings.CHAT_MODEL, most.input_tokens, most.output_tokens)


def cost_of(model: str, input_tokens: int, output_tokens: int) -> Decimal:
    """Return what so many tokens cost; nothing where the model has no price."""
    prices = settings.MODEL_PRICES.get(model, (Decimal(0), Decimal(0)))
    return (input_tokens * prices[0] + output_tokens * prices[1]) / 1_000_000


def has_price() -> bool:
    """Return whether the chat model has a price."""
    return settings.CHAT_MODEL in settings.MODEL_PRICES


def today() -> date:
    """Return the day that is being counted, which need not be the reader's."""
    return timezone.localdate(timezone=timezone.get_default_timezone())


def begin(
    cursor: CursorWrapper,
    use: UUID,
    payer: Payer,
    most: Most,
    *,
    purpose: Purpose,
    is_question: bool,
    seconds: int,
) -> None:
    """Count the question, and reserve the most that may be used until `settle`, at the latest for so many seconds."""
    cursor.execute(
        _BEGIN,
        {
            "id": use,
            "user": payer.user,
            "token": payer.token,
            "zone": settings.TIME_ZONE,
            "model": _model(),
            "purpose": purpose.value,
            "is_question": is_question,
            "is_reserved": most.tokens > 0,
            "input": most.input_tokens,
            "output": most.output_tokens,
            "cost": most_cost(most),
            "seconds": seconds,
        },
    )


def settle(use: UUID, calls: Sequence[Call], *, answers_as: Purpose = Purpose.ANSWER) -> None:
    """Replace what is reserved by what the calls took. Nothing happens where it has been settled before."""
    with connection.cursor() as cursor:
        cursor.execute(_add(_RESERVED), {"id": use} | _sums(calls, answers_as=answers_as))


def give_back(payer: Payer, purpose: Purpose) -> None:
    """Count a question of today less: there is nothing that answers it."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE chats_modelusage SET questions = questions - 1
            WHERE user_id = %(user)s AND token_id IS NOT DISTINCT FROM %(token)s AND day = {TODAY}
              AND model = %(model)s AND purpose = %(purpose)s AND questions > 0
            """,  # noqa: S608 - a constant
            {
                "user": payer.user,
                "token": payer.token,
                "zone": settings.TIME_ZONE,
                "model": _model(),
                "purpose": purpose.value,
            },
        )


def charge(payer: Payer, calls: Sequence[Call]) -> None:
    """Add what the calls took, for which nothing was reserved."""
    if calls:
        with connection.cursor() as cursor:
            cursor.execute(_add(_PAYER), {"user": payer.user, "token": payer.token} | _sums(calls))


def settle_dead() -> None:
    """Settle what dead processes have reserved: all that may have been sent, and what there is of the answer.

    Of a summary, the calls that were replied to, and as many as may have been under way.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT r.id, r.model, r.purpose, r.input_tokens, r.output_tokens, octet_length(m.text),
                   least(((SELECT count(*) FROM jsonb_object_keys(s.replies)) + %(at_once)s)::float / s.calls, 1)
            FROM chats_reservation r
            LEFT JOIN chats_turn t ON t.id = r.id
            LEFT JOIN chats_message m ON m.id = t.answer_id
            LEFT JOIN library_summary s ON s.maker = r.id AND s.state = 'making'
            WHERE r.expires_at < clock_timestamp()
               OR t.finished_at < clock_timestamp() - make_interval(secs => %(settling)s)
               OR r.purpose = %(summary)s AND NOT EXISTS (
                   SELECT FROM library_summary s
                   WHERE s.maker = r.id AND s.lease_until > clock_timestamp() - make_interval(secs => %(settling)s)
               )
            LIMIT 100
            """,
            {
                "settling": SETTLING_SECONDS,
                "summary": Purpose.SUMMARY.value,
                "at_once": AT_ONCE,
            },
        )
        rows = cursor.fetchall()
    for use, model, purpose, given, most, answer_bytes, share in rows:
        made = most if answer_bytes is None else min(most, -(-answer_bytes // 3))
        call = Call("answer", model, round(given * share), reply_bytes=round(made * share) * 3)
        settle(use, [call], answers_as=Purpose(purpose))


def _model() -> str:
    """Return the model that answers, nothing where quotations do."""
    return settings.CHAT_MODEL[:MODEL_MAX_CHARACTERS] if client.has_model() else ""


def _sums(calls: Iterable[Call], *, answers_as: Purpose = Purpose.ANSWER) -> dict[str, Any]:
    """Return the calls added up by model and purpose, as parameters; always in one order, as each row is locked."""
    sums: dict[tuple[str, str], list[int]] = {}
    for call in calls:
        purpose = answers_as.value if call.purpose == "answer" else call.purpose
        row = sums.setdefault((call.model, purpose), [0, 0, 0, 0])
        for place, number in enumerate((1, int(call.is_estimated), *call.tokens)):
            row[place] += max(0, number)
    ordered = sorted(sums.items())
    costs = [cost_of(model, row[2], row[3]) for (model, _), row in ordered]
    return {
        "zone": settings.TIME_ZONE,
        "models": [model[:MODEL_MAX_CHARACTERS] for (model, _), _row in ordered],
        "purposes": [purpose for (_, purpose), _row in ordered],
        "calls": [row[0] for _, row in ordered],
        "estimated": [row[1] for _, row in ordered],
        "inputs": [row[2] for _, row in ordered],
        "outputs": [row[3] for _, row in ordered],
        "costs": costs,
        "total": sum(costs, Decimal(0)),
    }
