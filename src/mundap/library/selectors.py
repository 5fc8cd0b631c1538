"""Reads of the shelf. Each takes the user: what they may not see is not found, as if it were not there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.errors import NotFound
from mundap.library.models import Collection, Document, Embedding, Passage

Reader = User | AnonymousUser


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is of a collection. `vectors` are the passages that have one by the model furthest along."""

    documents: int = 0
    passages: int = 0
    vectors: int = 0


@dataclass(frozen=True, slots=True)
class PassageInPlace:
    """A passage with the texts before and after it in its document, None at either end."""

    passage: Passage
    before: Passage | None
    after: Passage | None


def list_collections_for(user: Reader) -> QuerySet[Collection]:
    """Return what the user may see, by category and number: everyone's, their own, their groups'."""
    may_see = Q(visibility=Collection.Visibility.EVERYONE)
    if isinstance(user, User):
        groups = user.groups.through.objects.filter(user_id=user.pk).values("group_id")
        may_see |= Q(owner_id=user.pk)
        may_see |= Q(visibility=Collection.Visibility.GROUP, group_id__in=groups)
    return Collection.objects.filter(may_see).order_by("category", "title_no")


def get_collection_for(user: Reader, slug: str) -> Collection:
    """Return the collection with this short name. Raises NotFound."""
    return _first(list_collections_for(user).filter(slug=slug))


def get_collection_by_number_for(user: Reader, *, category: str, title_no: int) -> Collection:
    """Return the collection with this number in its category. Raises NotFound."""
    return _first(list_collections_for(user).filter(category=category, title_no=title_no))


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
    documents = _counts(Document.objects.filter(collection__in=ids))
    passages = _counts(Passage.objects.filter(collection__in=ids))
    vectors: dict[UUID, int] = {}
    by_model = Embedding.objects.filter(collection__in=ids).values_list("collection", "model")
    for pk, _model, number in by_model.annotate(number=Count("pk")):
        vectors[pk] = max(number, vectors.get(pk, 0))
    return {pk: Extent(documents.get(pk, 0), passages.get(pk, 0), vectors.get(pk, 0)) for pk in ids}


def _counts(rows: QuerySet[Document] | QuerySet[Passage]) -> dict[UUID, int]:
    return dict(rows.order_by().values_list("collection").annotate(number=Count("pk")))


def _first(found: QuerySet[Collection]) -> Collection:
    collection = found.first()
    if collection is None:
        raise NotFound(_("There is no such collection."))
    return collection
