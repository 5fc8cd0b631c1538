"""Deletes what other processes may be working on: readers stop first, and an indexer in the way is waited for."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet

from mundap.accounts import audit
from mundap.library.models import Collection, Document, Run
from mundap.library.runs import cancel_run
from mundap.library.selectors import in_order_of_version
from mundap.library.storing import delete_documents

_ATTEMPTS = 5  # each indexer that is in the way ends one


def delete_collection(collection: Collection) -> None:
    """Delete it with all that is in it. Chats about it stay, with what they quoted; another version becomes current."""
    cancel_runs(collection)
    Collection.objects.filter(pk=collection.pk).update(source="")  # and no clock begins another
    # Before its own row, which whoever adds a vector looks at last: the other way round each waits for the other.
    delete_documents_of(collection, keeping=Document.objects.none())
    until_free(lambda: _delete_row(collection))


def delete_documents_of(collection: Collection, *, keeping: QuerySet[Document]) -> None:
    """Delete the collection's documents that are not among these."""
    until_free(lambda: delete_documents(collection, keeping=keeping))


def cancel_runs(collection: Collection) -> None:
    """End what brings the collection up to date, and what was to follow it."""
    for run in collection.runs.filter(state__in=Run.UNFINISHED):
        cancel_run(run, is_followed=False)


def _delete_row(collection: Collection) -> None:
    audit.record("collection.deleted", whom=collection.owner, about=f"collection:{collection.pk}")
    rest = Collection.objects.filter(family=collection.family).exclude(pk=collection.pk)
    Collection.objects.filter(pk=collection.pk).delete()
    if collection.is_current and (next_one := in_order_of_version(rest)[:1]):
        Collection.objects.filter(pk=next_one[0].pk).update(is_current=True)


def until_free(change: Callable[[], object]) -> None:
    """Make the change in one transaction, again where PostgreSQL ended it to let another process go on.

    Within a transaction it is made once: what is locked there stays locked, so that has to begin anew as a whole.
    """
    if connection.in_atomic_block:
        change()
        return
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with transaction.atomic():
                change()
        except OperationalError as exc:
            is_deadlock = isinstance(exc.__cause__, psycopg.errors.DeadlockDetected)
            if attempt == _ATTEMPTS or not is_deadlock:
                raise
        else:
            return
