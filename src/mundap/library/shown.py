"""What the pages of the shelf show: rows turned into what a template prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import get_language_info
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.library.models import OFFICIAL_DOCS, Collection, Run, RunPage
from mundap.library.runs import count_pages
from mundap.library.selectors import (
    Extent,
    can_change,
    count_extents,
    find_unfinished_runs,
    list_versions_for,
)
from mundap.library.uploads import takes_files

_FIRST_COUNTS = (
    *(RunPage.State.ADDED, RunPage.State.CHANGED, RunPage.State.UNCHANGED, RunPage.State.FAILED),
    *(RunPage.State.GONE, RunPage.State.LEFT_OUT),
)


@dataclass(frozen=True, slots=True)
class ShownCount:
    """How many pages of a run came to one state."""

    state: str
    label: str
    number: int


@dataclass(frozen=True, slots=True)
class ShownRun:
    """A run; `done` of `total` pages are settled. Until the source was opened there are none."""

    run: Run
    done: int
    total: int
    counts: tuple[ShownCount, ...]
    is_unfinished: bool

    @property
    def asked(self) -> str:
        """Return how long ago it was asked for."""
        return ago(self.run.created_at)

    @property
    def lasted(self) -> str:
        """Return how long it took, if it is over."""
        if self.run.ended_at is None:
            return ""
        began = self.run.started_at or self.run.created_at
        seconds = max((self.run.ended_at - began).total_seconds(), 0)
        if seconds < 60:
            return _("%(seconds)s s") % {"seconds": f"{seconds:.1f}"}
        return str(timesince(began, self.run.ended_at))


@dataclass(frozen=True, slots=True)
class ShownCollection:
    """A collection, how much there is of it and how fresh it is; `versions` are those beside it, itself among them."""

    row: Collection
    extent: Extent
    run: ShownRun | None
    versions: tuple[Collection, ...]
    can_change: bool
    is_mine: bool
    takes_files: bool

    @property
    def place(self) -> str:
        """Return where it stands on the shelf."""
        if self.row.category == OFFICIAL_DOCS:
            return _("Official documentation")
        return f"{self.row.category} {self.row.title_no}"

    @property
    def language(self) -> str:
        """Return its language's name."""
        return language_name(self.row.language)

    @property
    def fresh(self) -> str:
        """Return how long ago it was brought up to date; empty if it never was."""
        return ago(self.row.ingested_at) if self.row.ingested_at else ""

    @property
    def due_at(self) -> datetime | None:
        """Return when it is brought up to date by itself, if ever."""
        return due_at(self.row)

    @property
    def is_waiting_for_files(self) -> bool:
        """Is there nothing in it yet, because nobody has given a file?"""
        return not self.row.source and not self.extent.documents

    @property
    def has_all_vectors(self) -> bool:
        """Is every passage found by meaning, too?"""
        return self.extent.vectors >= self.extent.passages


@dataclass(frozen=True, slots=True)
class ShownShelf:
    """The shelf: one entry for each family, as the version that is offered first."""

    official: tuple[ShownCollection, ...]
    references: tuple[tuple[str, tuple[ShownCollection, ...]], ...]
    mine: tuple[ShownCollection, ...]


def shown_collections(user: User, collections: Sequence[Collection]) -> list[ShownCollection]:
    """Return the collections ready to print, in their order."""
    extents = count_extents(collections)
    versions = list_versions_for(user, collections)
    unfinished = find_unfinished_runs(collections)
    return [
        ShownCollection(
            row=row,
            extent=extents[row.pk],
            run=_shown_run(unfinished[row.pk].run, unfinished[row.pk].counts)
            if row.pk in unfinished
            else None,
            versions=tuple(versions.get(row.family, [row])),
            can_change=can_change(user, row),
            is_mine=row.owner_id == user.pk,
            takes_files=takes_files(row),
        )
        for row in collections
    ]


def shown_shelf(user: User, collections: Sequence[Collection]) -> ShownShelf:
    """Return the shelf with what the user gave apart from what others did."""
    entries = [one for one in shown_collections(user, collections) if one.row == one.versions[0]]
    mine = [one for one in entries if one.is_mine and one.takes_files]
    others = [one for one in entries if one not in mine]
    official = [one for one in others if one.row.category == OFFICIAL_DOCS]
    rest = [one for one in others if one.row.category != OFFICIAL_DOCS]
    return ShownShelf(
        official=tuple(official),
        references=tuple(
            (category, tuple(group))
            for category, group in groupby(rest, lambda one: one.row.category)
        ),
        mine=tuple(mine),
    )


def shown_run(run: Run) -> ShownRun:
    """Return a run ready to print."""
    return _shown_run(run, count_pages(run))


def _shown_run(run: Run, counts: dict[str, int]) -> ShownRun:
    total = sum(number for state, number in counts.items() if state != RunPage.State.GONE)
    left = sum(counts.get(state, 0) for state in RunPage.OPEN)
    return ShownRun(
        run,
        done=total - left,
        total=total,
        counts=tuple(
            ShownCount(state.value, str(state.label), counts[state.value])
            for state in _FIRST_COUNTS
            if counts.get(state.value)
        ),
        is_unfinished=run.state in Run.UNFINISHED,
    )


def ago(moment: datetime) -> str:
    """Return how long ago that was, in one unit."""
    now = timezone.now()
    if now - moment < timedelta(minutes=1):
        return _("just now")
    return _("%(time)s ago") % {"time": timesince(moment, now, depth=1)}


def due_at(collection: Collection) -> datetime | None:
    """Return when the collection is brought up to date by itself, if ever."""
    if not collection.refresh_days or collection.ingested_at is None:
        return None
    return collection.ingested_at + timedelta(days=collection.refresh_days)


def language_name(code: str) -> str:
    """Return the language's name in the reader's language."""
    try:
        return str(get_language_info(code)["name_translated"])
    except KeyError:
        return code


def categories(collections: Iterable[Collection]) -> list[str]:
    """Return the categories of references that there are, to choose from."""
    return sorted({one.category for one in collections} - {OFFICIAL_DOCS})
