"""What somebody may use: their own allowance, else the most generous of their groups', else the settings'.

Each of the limits is looked for by itself, so an allowance of questions alone leaves the rest as it is. A token has at
most a limit of questions of its own; all that it uses counts for its owner too.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.conf import settings
from django.db import connection

_OF_USER = """
    SELECT user_id IS NOT NULL, token_id IS NOT NULL, questions_per_day, tokens_per_month, spending_per_month
    FROM accounts_allowance
    WHERE user_id = %(user)s OR token_id = %(token)s
       OR group_id IN (SELECT group_id FROM accounts_user_groups WHERE user_id = %(user)s)
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be used in a day or a month; 0: no limit. `token_questions_per_day` is the token's own."""

    questions_per_day: int
    tokens_per_month: int
    spending_per_month: Decimal
    token_questions_per_day: int = 0


def limits_of(user: UUID, token: UUID | None = None) -> Limits:
    """Return what the user may use, through this token if there is one."""
    with connection.cursor() as cursor:
        cursor.execute(_OF_USER, {"user": user, "token": token})
        rows = cursor.fetchall()
    own = [row[2:] for row in rows if row[0]]
    of_groups = [row[2:] for row in rows if not (row[0] or row[1])]
    of_token = [row[2] for row in rows if row[1]]
    default = (settings.QUESTIONS_PER_DAY, settings.TOKENS_PER_MONTH, settings.SPENDING_PER_MONTH)
    found = [
        _chosen(
            [row[place] for row in own if row[place] is not None],
            [row[place] for row in of_groups if row[place] is not None],
            default[place],
        )
        for place in range(len(default))
    ]
    return Limits(int(found[0]), int(found[1]), Decimal(found[2]), *of_token)


def _chosen(own: list[Decimal], of_groups: list[Decimal], default: Decimal | int) -> Decimal | int:
    if own:
        return own[0]
    if of_groups:
        return 0 if 0 in of_groups else max(of_groups)
    return default
