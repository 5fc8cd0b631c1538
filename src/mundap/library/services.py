"""Changes of the shelf that people ask for: a source or a reference is added, a collection relabelled.

Files that people give are `uploads`'; what is removed, `deleting`'s; reading is a run's, in `runs`.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction
from django.utils.text import slugify
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.errors import Conflict, InvalidInput, NotAllowed
from mundap.library.models import OFFICIAL_DOCS, Collection, Run
from mundap.library.runs import request_run
from mundap.library.shelving import RECORDED, put_on_shelf, record_change
from mundap.library.sources import folder, is_source_name, upload
from mundap.library.sources.known import find_known

REFERENCES = "REFERENCES"  # the category of what people upload, unless they say another
MAX_OWN_COLLECTIONS = 200
_STAFFS_OWN = ("is_current", "refresh_days", "group")


@dataclass(frozen=True, slots=True)
class Label:
    """How a new collection is to be kept; what is empty is chosen for it."""

    title: str = ""
    slug: str = ""
    category: str = ""
    title_no: int | None = None
    language: str = ""
    visibility: str = ""
    group: Group | None = None
    family: str = ""
    base_url: str = ""
    refresh_days: int = 0


def add_source(user: User, source: str, label: Label) -> tuple[Collection, Run]:
    """Return a new collection of the source, and the run that is going to read it.

    Raises NotAllowed for who may not, InvalidInput for what names no source, Conflict for a name that is taken.
    """
    source = source.strip()
    _check_may_name(user, source)
    guess = _guess(source)
    family = label.family or label.slug or guess.slug
    versioned = "-".join(filter(None, [family, _as_slug(guess.version)]))
    slug = label.slug or (versioned if label.family else guess.slug)
    _check_free(slug)
    is_private = label.visibility == Collection.Visibility.PRIVATE
    collection = Collection(
        slug=slug,
        family=family,
        title=label.title or guess.title,
        source=source,
        version=guess.version,
        category=label.category or OFFICIAL_DOCS,
        title_no=label.title_no or 0,
        language=label.language or "en",
        visibility=label.visibility or Collection.Visibility.EVERYONE,
        group=label.group,
        owner=user if is_private else None,
        base_url=label.base_url,
        refresh_days=label.refresh_days,
    )
    _check_seen(collection)
    with transaction.atomic():
        put_on_shelf(collection, is_numbered=label.title_no is not None)
        return collection, request_run(collection, trigger=Run.Trigger.PERSON, user=user)


def _check_may_name(user: User, source: str) -> None:
    """Raise NotAllowed or InvalidInput unless it is a source that the user may name.

    What people have uploaded is no source for others, and what is on the machine is its administrators'.
    """
    if not user.is_staff:
        raise NotAllowed(_("Only staff may add a source. You can upload files."))
    scheme = source.partition(":")[0]
    if not is_source_name(source) or scheme == upload.SCHEME:
        raise InvalidInput(
            _("This does not name a source."),
            fields={
                "source": _("Begin with one of the known kinds, as in pypi:django==5.2.19#docs.")
            },
        )
    if scheme == folder.SCHEME and not user.is_superuser:
        raise NotAllowed(_("Only administrators may have files of this machine read."))


def make_reference(user: User, label: Label) -> Collection:
    """Return a new collection for files that the user gives. It is private, unless staff say otherwise.

    Raises InvalidInput, NotAllowed and Conflict.
    """
    category = label.category or REFERENCES
    visibility = label.visibility or Collection.Visibility.PRIVATE
    if not user.is_staff:
        _check_modest(category=category, visibility=visibility)
        if label.group:
            raise NotAllowed(_("Only staff may show a collection to others."))
        if label.slug:  # what others have privately must not show by a name that is taken
            raise NotAllowed(_("Only staff may choose a short name."))
        if Collection.objects.filter(owner=user).count() >= MAX_OWN_COLLECTIONS:
            raise Conflict(
                _(
                    "You have %(limit)d collections, which is as many as one may have. Delete one first."
                )
                % {"limit": MAX_OWN_COLLECTIONS}
            )
    _check_free(label.slug)
    collection = Collection(
        slug=label.slug or _own_slug(label.title),
        title=label.title,
        category=category,
        title_no=label.title_no or 0,
        language=label.language or "en",
        visibility=visibility,
        group=label.group,
        owner=user,
    )
    _check_seen(collection)
    return put_on_shelf(collection, is_numbered=label.title_no is not None)


def change_collection(user: User, collection: Collection, changes: Mapping[str, Any]) -> Collection:
    """Return the collection with these fields changed; the caller has checked that the user may change it.

    Raises NotAllowed for what is staff's alone, InvalidInput for what cannot be, Conflict for a number that is taken.
    """
    changes = {name: value for name, value in changes.items() if getattr(collection, name) != value}
    if not user.is_staff:
        if any(name in changes for name in _STAFFS_OWN):
            raise NotAllowed(_("Only staff may change this."))
        _check_modest(
            category=changes.get("category", ""), visibility=changes.get("visibility", "private")
        )
    before = {name: getattr(collection, name) for name in RECORDED}
    for name, value in changes.items():
        setattr(collection, name, value)
    _check_seen(collection)
    try:
        with transaction.atomic():
            if "is_current" in changes:
                _make_current(collection)
            collection.save(update_fields=[*changes, "updated_at"])
            record_change(collection, before)
    except IntegrityError as exc:
        raise Conflict(
            _("Number %(number)d of %(category)s is another collection’s.")
            % {"number": collection.title_no, "category": collection.category},
            fields={"title_no": _("This number is taken.")},
        ) from exc
    return collection


def _check_modest(*, category: str, visibility: str) -> None:
    """Raise NotAllowed for what a user who is not staff may not choose."""
    if category == OFFICIAL_DOCS:
        raise NotAllowed(_("Only staff may add official documentation. Choose another category."))
    if visibility != Collection.Visibility.PRIVATE:
        raise NotAllowed(_("Only staff may show a collection to others."))


def _check_free(slug: str) -> None:
    if Collection.objects.filter(slug=slug).exists():
        raise Conflict(
            _(
                "There is a collection “%(slug)s” already. Refresh that one, or give this one another short name."
            )
            % {"slug": slug},
            fields={"slug": _("This short name is taken.")},
        )


def _check_seen(collection: Collection) -> None:
    if collection.visibility == Collection.Visibility.GROUP and collection.group is None:
        raise InvalidInput(
            _("Say which group may see it."), fields={"group": _("There is no such group.")}
        )
    if collection.visibility == Collection.Visibility.PRIVATE and collection.owner_id is None:
        raise InvalidInput(
            _("Nobody owns this collection, so it cannot be for its owner alone."),
            fields={"visibility": _("It has no owner.")},
        )


def _make_current(collection: Collection) -> None:
    if not collection.is_current:
        raise InvalidInput(
            _("One version is the current one. Make another one current instead."),
            fields={"is_current": _("Make another one current instead.")},
        )
    others = Collection.objects.filter(family=collection.family).exclude(pk=collection.pk)
    others.update(is_current=False)


@dataclass(frozen=True, slots=True)
class _Guess:
    title: str
    slug: str
    version: str = ""


def _guess(source: str) -> _Guess:
    """Return what a source's name says of it; an unknown one is called by its short name until it has been opened."""
    rest = re.sub(r"^\w+://", "", source.partition(":")[2].partition("#")[0])
    project, _equals, version = rest.partition("==")
    if known := find_known(project):
        return _Guess(known.title, known.slug, version)
    parts = [part for part in re.split(r"[/@]", project) if _as_slug(part)]
    name = _as_slug(
        re.sub(r"\.(git|zip|t?[gx]z|tar.*|xml|txt|inv)$", "", parts[-1]) if parts else ""
    )
    slug = name or f"documents-{secrets.token_hex(3)}"
    return _Guess(slug, slug, version)


def _as_slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:90]


def _own_slug(title: str) -> str:
    return "-".join(filter(None, [slugify(title)[:60].strip("-"), secrets.token_hex(4)]))
