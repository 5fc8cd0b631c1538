"""The page on what the models were used for: by day, by model, by purpose, and by whom most."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from mundap.chats.limits import spending_of_all
from mundap.chats.models import ModelUsage
from mundap.chats.usage import today

PERIODS = (7, 30, 90, 365)
_MOST_USERS = 10
_SUMS = ("questions", "calls", "estimated_calls", "input_tokens", "output_tokens", "cost")
HEIGHT = 100  # of the chart, in units of its own


@dataclass(frozen=True, slots=True)
class Day:
    """A day's sums, and its bar in the chart."""

    day: date
    sums: dict[str, Any]
    x: float
    width: float
    height: float

    @property
    def y(self) -> float:
        """The top of the bar."""
        return HEIGHT - self.height


@require_safe
def usage(request: HttpRequest) -> HttpResponse:
    """For staff: the last `?days=`."""
    asked = request.GET.get("days", "")
    days = int(asked) if asked in map(str, PERIODS) else PERIODS[1]
    since = today() - timedelta(days=days - 1)
    rows = ModelUsage.objects.filter(day__gte=since).order_by()
    by_model = list(_by(rows, "model"))
    context = admin.site.each_context(request) | {
        "title": "",
        "days": days,
        "periods": PERIODS,
        "by_day": _by_day(rows, since=since, days=days),
        "by_model": by_model,
        "by_purpose": [
            row | {"name": ModelUsage.Purpose(row["purpose"]).label} for row in _by(rows, "purpose")
        ],
        "by_user": _by(rows.filter(user__isnull=False), "user", "user__email")[:_MOST_USERS],
        "total": {name: sum((row[name] for row in by_model), Decimal(0)) for name in _SUMS},
        "cap": spending_of_all(),
        "currency": settings.CURRENCY,
        "height": HEIGHT,
    }
    return render(request, "administration/usage.html", context)


def _by(rows: QuerySet[ModelUsage], *columns: str) -> QuerySet[ModelUsage, dict[str, Any]]:
    """Return the sums by these columns, the most expensive first, then those with the most questions."""
    summed: QuerySet[ModelUsage, dict[str, Any]] = rows.values(*columns).annotate(
        **{name: Sum(name) for name in _SUMS}
    )
    return summed.order_by("-cost", "-output_tokens", "-questions")


def _by_day(rows: QuerySet[ModelUsage], *, since: date, days: int) -> list[Day]:
    """Return every day of the period, oldest first, also those on which nobody asked."""
    found = {row["day"]: row for row in _by(rows, "day")}
    nothing = dict.fromkeys(_SUMS, 0)
    most = max((row["questions"] for row in found.values()), default=0) or 1
    dates = [since + timedelta(days=place) for place in range(days)]
    sums = [found.get(day, nothing) for day in dates]
    step = 720 / days
    return [
        Day(
            day,
            sums[place],
            x=round(place * step + step * 0.1, 2),
            width=round(step * 0.8, 2),
            height=round(HEIGHT * sums[place]["questions"] / most, 2),
        )
        for place, day in enumerate(dates)
    ]
