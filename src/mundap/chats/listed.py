"""The list of chats as the pages show it: pinned ones first, then by the days that people think in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.chats.chat_list import list_chats

PAGE_CHATS = 60


@dataclass(frozen=True, slots=True)
class DayGroup:
    """Chats under one heading of the list; `is_day` tells a day from a longer time."""

    label: str
    chats: list[Mapping[str, Any]] = field(default_factory=list)
    is_day: bool = False


@dataclass(frozen=True, slots=True)
class ListedPage:
    """A page of the list; `following` is the query of the next one, empty where there is none."""

    groups: list[DayGroup]
    following: str


def list_page(
    user: User, *, query: str = "", cursor: str = "", is_in_pinned: bool = False
) -> ListedPage:
    """Return a page of the user's chats, or of those that have the words of `query`, which stand by day alone.

    The pinned ones come before all others and may take several pages: a cursor among them has `is_in_pinned`.
    Raises InvalidInput for a cursor that is none.
    """
    if query:
        page = list_chats(user, query=query, cursor=cursor, limit=PAGE_CHATS)
        return ListedPage(grouped_by_day(page.chats), _following(page.cursor, q=query))
    groups = []
    if is_in_pinned or not cursor:
        page = list_chats(user, pinned=True, cursor=cursor, limit=PAGE_CHATS)
        groups = _pinned(page.chats)
        if page.cursor:
            return ListedPage(groups, _following(page.cursor, pinned="1"))
        cursor = ""
    page = list_chats(user, pinned=False, cursor=cursor, limit=PAGE_CHATS)
    return ListedPage(groups + grouped_by_day(page.chats), _following(page.cursor))


def side(user: User) -> dict[str, Any]:
    """Return what the list beside every page shows: the pinned chats and the last used."""
    pinned, recent = list_chats(user, pinned=True), list_chats(user, pinned=False)
    return {
        "groups": _pinned(pinned.chats) + grouped_by_day(recent.chats),
        "has_more_chats": bool(pinned.cursor or recent.cursor),
    }


def grouped_by_day(chats: Sequence[Mapping[str, Any]]) -> list[DayGroup]:
    """Return the chats (as the API has them, last used first) by day, and by month where that is long ago."""
    today = timezone.localdate()
    days = (_("Today"), _("Yesterday"))
    return [
        DayGroup(label, list(group), is_day=label in days)
        for label, group in groupby(
            _dated(chats), lambda chat: _day_label(chat["updated_at"].date(), today)
        )
    ]


def _pinned(chats: Sequence[Mapping[str, Any]]) -> list[DayGroup]:
    return [DayGroup(_("Pinned"), _dated(chats))] if chats else []


def _following(cursor: str | None, **query: str) -> str:
    return urlencode(query | {"cursor": cursor}) if cursor else ""


def _dated(chats: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the chats with their last use as a moment of the reader's time zone."""
    return [
        chat | {"updated_at": timezone.localtime(datetime.fromisoformat(chat["updated_at"]))}
        for chat in map(dict, chats)
    ]


def _day_label(day: date, today: date) -> str:
    if day >= today:
        return _("Today")
    if day == today - timedelta(days=1):
        return _("Yesterday")
    if day > today - timedelta(days=7):
        return _("The last seven days")
    return date_format(day, "YEAR_MONTH_FORMAT")
