"""How much of something is left until when, and the headers that say it.

Sources: the IETF's draft "RateLimit header fields for HTTP" (draft-ietf-httpapi-ratelimit-headers, version 10), and
OpenAI's guide "Rate limits", section "Rate limits in headers".
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

_DAY, _MONTH = 86_400, 30 * 86_400  # a month's window is about that
_OPENAI_NAMES = {"questions_per_day": "requests", "tokens_per_month": "tokens"}


@dataclass(frozen=True, slots=True)
class Quota:
    """What may be used until `resets_at`; 0 `allowed`: no limit. `reserved` may yet be used by what is running."""

    name: str
    allowed: int | Decimal
    used: int | Decimal
    resets_at: datetime
    now: datetime
    reserved: int | Decimal = 0

    @property
    def left(self) -> int | Decimal:
        """Return how much may still be used."""
        return max(self.allowed - self.used, type(self.allowed)(0))

    @property
    def seconds_left(self) -> int:
        """Return the time until all of it may be used again."""
        return max(1, math.ceil((self.resets_at - self.now).total_seconds()))

    def as_json(self) -> dict[str, Any]:
        """Return it as programs see it: money as text, null where there is no limit."""
        return {
            "name": self.name,
            "allowed": _plain(self.allowed) if self.allowed else None,
            "used": _plain(self.used),
            "left": _plain(self.left) if self.allowed else None,
            "resets_at": self.resets_at.isoformat(),
        }


def rate_limit_headers(quotas: Iterable[Quota]) -> dict[str, str]:
    """Return `RateLimit-Policy` and `RateLimit`, whose amounts are whole: money is not among them."""
    told = [each for each in quotas if each.allowed and not isinstance(each.allowed, Decimal)]
    if not told:
        return {}
    return {
        "RateLimit-Policy": ", ".join(
            f'"{each.name}";q={each.allowed};w={_window(each.name)}' for each in told
        ),
        "RateLimit": ", ".join(
            f'"{each.name}";r={each.left};t={each.seconds_left}' for each in told
        ),
    }


def openai_headers(quotas: Iterable[Quota]) -> dict[str, str]:
    """Return `x-ratelimit-…` as clients of OpenAI's protocol read them."""
    headers: dict[str, str] = {}
    for each in quotas:
        if (kind := _OPENAI_NAMES.get(each.name)) and each.allowed:
            headers |= {
                f"x-ratelimit-limit-{kind}": str(each.allowed),
                f"x-ratelimit-remaining-{kind}": str(each.left),
                f"x-ratelimit-reset-{kind}": f"{each.seconds_left}s",
            }
    return headers


def _window(name: str) -> int:
    return _DAY if name.endswith("_day") else _MONTH


def _plain(amount: int | Decimal) -> int | str:
    return f"{amount:.6f}".rstrip("0").rstrip(".") if isinstance(amount, Decimal) else int(amount)
