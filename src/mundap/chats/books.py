"""The shelf as one chooses from it: by category and number, versions of one documentation as one entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.library.models import OFFICIAL_DOCS, Collection, Passage
from mundap.library.selectors import in_order_of_version, list_collections_for
from mundap.library.shown import language_name


@dataclass(frozen=True, slots=True)
class Book:
    """A collection as one chooses it; `about` tells it from others of its name. `is_coming`: it is being read."""

    slug: str
    title: str
    category: str
    family: str
    version: str
    about: str
    state: str
    error: str
    documents_done: int
    documents_total: int
    is_searchable: bool
    is_coming: bool


@dataclass(frozen=True, slots=True)
class BookGroup:
    """Entries under one heading; the books of an entry are versions, the current one first."""

    label: str
    entries: tuple[tuple[Book, ...], ...]


def books_for(user: User) -> list[Book]:
    """Return the shelf as the user sees it: what can be asked first, and current versions before others."""
    has_passages = Exists(Passage.objects.filter(collection=OuterRef("pk")))
    collections = list_collections_for(user).annotate(is_searchable=has_passages)
    rows = sorted(
        _in_families(list(collections)),
        key=lambda row: (not row.is_searchable, not row.is_current),  # type: ignore[attr-defined]
    )
    return [_book(row) for row in rows]


def grouped(books: Sequence[Book]) -> list[BookGroup]:
    """Return the books under their headings, official documentation first."""
    groups: dict[str, dict[str, list[Book]]] = {}
    for book in books:
        groups.setdefault(book.category, {}).setdefault(book.family, []).append(book)
    in_order = sorted(groups, key=lambda category: (category != OFFICIAL_DOCS, category))
    return [
        BookGroup(
            _("Official documentation") if category == OFFICIAL_DOCS else category,
            tuple(tuple(versions) for versions in groups[category].values()),
        )
        for category in in_order
    ]


def _in_families(collections: Sequence[Collection]) -> list[Collection]:
    """Return the collections by category and number of their families, versions beside each other."""
    families: dict[tuple[str, str], list[Collection]] = {}
    for collection in collections:
        families.setdefault((collection.category, collection.family), []).append(collection)
    return [one for versions in families.values() for one in in_order_of_version(versions)]


def _book(collection: Collection) -> Book:
    is_official = collection.category == OFFICIAL_DOCS
    number = "" if is_official else str(collection.title_no)
    version = "" if collection.version in collection.title else collection.version
    is_waiting = collection.state == Collection.State.EMPTY and bool(collection.source)
    return Book(
        slug=collection.slug,
        title=collection.title,
        category=collection.category,
        family=collection.family,
        version=collection.version or collection.slug,
        about=" · ".join(filter(None, [number, version, language_name(collection.language)])),
        state=collection.state,
        error=collection.error,
        documents_done=collection.documents_done,
        documents_total=collection.documents_total,
        is_searchable=collection.is_searchable,  # type: ignore[attr-defined]
        is_coming=is_waiting or collection.state == Collection.State.INGESTING,
    )
