"""Reads of the shelf. Each takes the user: what they may not see is not found, as if it were not there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.errors import NotAllowed, NotFound
from mundap.library.models import Collection, Document, Embedding, Passage, Run, RunPage

Reader = User | AnonymousUser


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is of a collection; of the documents, `failed` could not be read when they were last tried.

    `vectors` are the passages that have one by the model furthest along.
    """

    documents: int = 0
    failed: int = 0
    passages: int = 0
    vectors: int = 0


@dataclass(frozen=True, slots=True)
class RunningRun:
    """A run that is not finished, and its pages by state; they are none until the source was opened."""

    run: Run
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PassageInPlace:
    """A passage with the texts before and after it in its document, None at either end."""

    passage: Passage
    before: Passage | None
    after: Passage | None


def list_collections_for(user: Reader, *, category: str = "") -> QuerySet[Collection]:
    """Return what the user may see, by category and number: everyone's, their own, their groups'.

    Staff look after what any group sees; what is private is its owner's alone, for them too. With `category` only what
    belongs to it.
    """
    may_see = Q(visibility=Collection.Visibility.EVERYONE)
    if isinstance(user, User):
        groups = user.groups.through.objects.filter(user_id=user.pk).values("group_id")
        may_see |= Q(owner_id=user.pk)
        is_theirs = Q() if user.is_staff else Q(group_id__in=groups)
        may_see |= Q(visibility=Collection.Visibility.GROUP) & is_theirs
    belongs = Q(category=category) if category else Q()
    return Collection.objects.filter(may_see, belongs).order_by("category", "title_no")


def get_collection_for(user: Reader, slug: str) -> Collection:
    """Return the collection with this short name. Raises NotFound."""
    return _first(list_collections_for(user).filter(slug=slug))


def get_collection_by_number_for(user: Reader, *, category: str, title_no: int) -> Collection:
    """Return the collection with this number in its category. Raises NotFound."""
    return _first(list_collections_for(user).filter(category=category, title_no=title_no))


def can_change(user: Reader, collection: Collection) -> bool:
    """Return whether a user who may see the collection may also change it: its owner may, and staff."""
    return user.is_staff or (user.pk is not None and user.pk == collection.owner_id)


def get_collection_to_change_for(user: Reader, slug: str) -> Collection:
    """Return the collection, if the user may change it. Raises NotFound where they do not see it, else NotAllowed."""
    return _to_change(user, get_collection_for(user, slug))


def _to_change(user: Reader, collection: Collection) -> Collection:
    if not can_change(user, collection):
        raise NotAllowed(_("Only its owner and staff may do this with a collection."))
    return collection


def get_run_for(user: Reader, run_id: UUID) -> Run:
    """Return the run of a collection that the user may change. Raises NotFound, NotAllowed."""
    visible = list_collections_for(user).order_by()
    run = Run.objects.filter(pk=run_id, collection__in=visible).select_related("collection").first()
    if run is None:
        raise NotFound(_("There is no such run."))
    _to_change(user, run.collection)
    return run


def get_document_for(user: Reader, document_id: UUID) -> Document:
    """Return the document with its collection. Raises NotFound."""
    visible = list_collections_for(user).order_by()
    found = Document.objects.filter(pk=document_id, collection__in=visible)
    document = found.select_related("collection").first()
    if document is None:
        raise NotFound(_("There is no such document. Its collection may have been changed."))
    return document


def get_document_to_change_for(user: Reader, document_id: UUID) -> Document:
    """Return the document of a collection that the user may change. Raises NotFound, NotAllowed."""
    document = get_document_for(user, document_id)
    _to_change(user, document.collection)
    return document


def list_documents(
    collection: Collection, *, query: str = "", state: str = ""
) -> QuerySet[Document]:
    """Return the documents by path, without their texts; `query` is looked for in path and title."""
    found = collection.documents.defer("text").order_by("path")
    if query:
        found = found.filter(Q(path__icontains=query) | Q(title__icontains=query))
    return found.filter(state=state) if state else found


def list_passages(document: Document) -> QuerySet[Passage]:
    """Return the document's passages in their order; `has_vector` tells whether any model has read them."""
    vectors = Embedding.objects.filter(passage=OuterRef("pk"))
    rows = document.passages.defer("lexical").order_by("position")
    return rows.annotate(has_vector=Exists(vectors))


def list_versions_for(
    user: Reader, collections: Iterable[Collection]
) -> dict[str, list[Collection]]:
    """Return by family what the user sees of the collections' families: the current one, then newest version first."""
    found: dict[str, list[Collection]] = {}
    families = {collection.family for collection in collections}
    for collection in list_collections_for(user).filter(family__in=families):
        found.setdefault(collection.family, []).append(collection)
    return {family: in_order_of_version(versions) for family, versions in found.items()}


def in_order_of_version(collections: Iterable[Collection]) -> list[Collection]:
    """Return the current one first, then the newest version first: 10 is newer than 9."""
    newest_first = sorted(collections, key=_version_numbers, reverse=True)
    return sorted(newest_first, key=lambda collection: not collection.is_current)


def _version_numbers(collection: Collection) -> list[int]:
    return [int(number) for number in re.findall(r"\d{1,9}", collection.version)]


def find_unfinished_runs(collections: Iterable[Collection]) -> dict[UUID, RunningRun]:
    """Return by collection the runs that are not finished, in two statements."""
    ids = [collection.pk for collection in collections]
    runs = list(Run.objects.filter(collection__in=ids, state__in=Run.UNFINISHED))
    counts: dict[UUID, dict[str, int]] = {}
    if runs:
        rows = RunPage.objects.filter(run__in=runs).order_by().values_list("run", "state")
        for run, state, number in rows.annotate(number=Count("pk")):
            counts.setdefault(run, {})[state] = number
    return {run.collection_id: RunningRun(run, counts.get(run.pk, {})) for run in runs}


def get_passage_for(user: Reader, passage_id: UUID) -> PassageInPlace:
    """Return the passage between its neighbours. Raises NotFound."""
    passage = (
        Passage.objects.filter(pk=passage_id, collection__in=list_collections_for(user).order_by())
        .select_related("document", "collection")
        .defer("lexical", "document__text")
        .first()
    )
    if passage is None:
        raise NotFound(_("There is no such passage. Its document may have been changed."))
    siblings = Passage.objects.filter(document_id=passage.document_id).defer("lexical")
    before = siblings.filter(position__lt=passage.position).order_by("-position").first()
    after = siblings.filter(position__gt=passage.position).order_by("position").first()
    return PassageInPlace(passage, before, after)


def count_extents(collections: Iterable[Collection]) -> dict[UUID, Extent]:
    """Return the extent of each collection, in three statements however many there are."""
    ids = [collection.pk for collection in collections]
    documents: dict[UUID, tuple[int, int]] = {}
    rows = Document.objects.filter(collection__in=ids).order_by().values_list("collection")
    is_bad = ~Q(state=Document.State.READY)
    for pk, number, failed in rows.annotate(number=Count("pk"), failed=Count("pk", filter=is_bad)):
        documents[pk] = number, failed
    counted = Passage.objects.filter(collection__in=ids).order_by().values_list("collection")
    passages = dict(counted.annotate(number=Count("pk")))
    vectors: dict[UUID, int] = {}
    by_model = Embedding.objects.filter(collection__in=ids).values_list("collection", "model")
    for pk, _model, number in by_model.annotate(number=Count("pk")):
        vectors[pk] = max(number, vectors.get(pk, 0))
    return {
        pk: Extent(*documents.get(pk, (0, 0)), passages.get(pk, 0), vectors.get(pk, 0))
        for pk in ids
    }


def _first(found: QuerySet[Collection]) -> Collection:
    collection = found.first()
    if collection is None:
        raise NotFound(_("There is no such collection."))
    return collection
