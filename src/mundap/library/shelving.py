"""A source's collection on the shelf: found by its short name or made, and labelled as its run says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils.text import slugify

from mundap.accounts import audit
from mundap.accounts.models import User
from mundap.errors import Conflict
from mundap.library.models import OFFICIAL_DOCS, Collection
from mundap.library.sources import OpenedSource

RECORDED = ("visibility", "group_id", "source", "owner_id")  # in the audit log, when they change


@dataclass(frozen=True, slots=True)
class ShelfMark:
    """How a collection is to be kept; what is None is taken from the source, or stays as it is."""

    slug: str | None = None
    category: str | None = None
    title_no: int | None = None
    title: str | None = None
    language: str | None = None
    visibility: str | None = None
    base_url: str | None = None
    family: str | None = None
    refresh_days: int | None = None
    is_current: bool = False  # it becomes the version that people are offered first
    owner: User | None = None


def find_or_make(mark: ShelfMark, source: OpenedSource) -> Collection:
    """Return the collection of this short name, made if it is not there. Raises Conflict."""
    slug = mark.slug or source.about.slug
    if mark.family and not mark.slug:
        slug = slugify(f"{mark.family}-{source.about.version.replace('.', '-')}")
    collection = Collection.objects.filter(slug=slug).first()
    if collection is not None:
        return collection
    defaults = {
        "title": source.about.title,
        "language": source.about.language or "en",
        "visibility": Collection.Visibility.EVERYONE,
        "category": OFFICIAL_DOCS,
    }
    fields = defaults | _label(mark, source)
    return put_on_shelf(Collection(slug=slug, **fields), is_numbered=mark.title_no is not None)


def _label(mark: ShelfMark, source: OpenedSource) -> dict[str, Any]:
    """Return the fields that this run decides."""
    names = (
        "title",
        "language",
        "visibility",
        "category",
        "title_no",
        "family",
        "refresh_days",
        "owner",
    )
    given = {name: getattr(mark, name) for name in names if getattr(mark, name) is not None}
    about = source.about
    return given | {
        "source": source.name,
        "version": about.version,
        "home_page": about.home_page,
        "licence": about.licence,
        "base_url": about.base_url,
    }


def relabel(collection: Collection, mark: ShelfMark, source: OpenedSource) -> None:
    """Write on the collection what this run decides; the caller holds its lock. Raises Conflict."""
    before = {name: getattr(collection, name) for name in RECORDED}
    for field, value in _label(mark, source).items():
        setattr(collection, field, value)
    with _number_taken(collection):
        record_change(collection, before)
        if mark.is_current and not collection.is_current:
            Collection.objects.filter(family=collection.family).update(is_current=False)
            collection.is_current = True
        collection.save()


def record_change(collection: Collection, before: Mapping[str, Any]) -> None:
    """Write into the audit log what has changed of who sees the collection, and of where it comes from."""
    changes = {name: (old, getattr(collection, name)) for name, old in before.items()}
    # Names and addresses may hold what nobody is to read there: that they changed is enough.
    plain = {"visibility", "group_id"}
    details = {
        name: [old, new] if name in plain else []
        for name, (old, new) in changes.items()
        if old != new
    }
    if details:
        about = f"collection:{collection.pk}"
        audit.record("collection.changed", whom=collection.owner, about=about, details=details)


def put_on_shelf(collection: Collection, *, is_numbered: bool) -> Collection:
    """Save a new collection, under the next free number of its category unless it has one. Raises Conflict.

    It is the current version of its family if there is none yet.
    """
    family = Collection.objects.filter(family=collection.family or collection.slug)
    collection.is_current = not family.filter(is_current=True).exists()
    if is_numbered:
        with _number_taken(collection):
            _insert(collection)
        return collection
    same = Collection.objects.filter(category=collection.category)
    for _attempt in range(5):  # two may take the same next number at once
        collection.title_no = (same.aggregate(last=Max("title_no"))["last"] or 0) + 1
        with suppress(IntegrityError), transaction.atomic():
            _insert(collection)
            return collection
        if Collection.objects.filter(slug=collection.slug).exists():
            break
    raise Conflict(f"The collection {collection.slug!r} is being made by another process.")


def _insert(collection: Collection) -> None:
    collection.save(force_insert=True)
    details = {"visibility": collection.visibility, "source": collection.source.partition(":")[0]}
    about = f"collection:{collection.pk}"
    audit.record("collection.added", whom=collection.owner, about=about, details=details)


@contextmanager
def _number_taken(collection: Collection) -> Iterator[None]:
    try:
        with transaction.atomic():
            yield
    except IntegrityError as exc:
        raise Conflict(
            f"Number {collection.title_no} of {collection.category} is another collection's. "
            "Choose another with --title-no."
        ) from exc
