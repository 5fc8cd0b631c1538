"""A small library: a few pages about an imaginary web framework, and a way to put more on the shelf."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b

import pytest

from mundap.library.models import Collection, Document, Passage
from mundap.retrieval.indexing import index_lexical
from mundap.retrieval.vectors import embed_missing

Page = tuple[str, Sequence[str], str]
"""A passage: its document's path, its headings and its text."""

PAGES: list[Page] = [
    (
        "topics/cache.txt",
        ["The cache", "Redis"],
        "Set `CACHES['default']` to the backend `cache.RedisCache` to keep cached pages in a Redis server.",
    ),
    (
        "topics/cache.txt",
        ["The cache", "Memory"],
        "The local memory backend keeps cached values in each process; other workers do not see them.",
    ),
    (
        "topics/auth.txt",
        ["Users", "Passwords"],
        "Passwords are stored as hashes. Call `user.set_password()` to change one; the old one stops working.",
    ),
    (
        "topics/auth.txt",
        ["Users", "Permissions"],
        "A permission says who may change or delete an object. Check it with `user.has_perm()`.",
    ),
    (
        "ref/querysets.txt",
        ["QuerySet", "select_related()"],
        "`select_related(*fields)` follows foreign keys in the same query, which saves queries later.",
    ),
    (
        "ref/querysets.txt",
        ["QuerySet", "bulk_create()"],
        "`bulk_create(objs, batch_size=None)` inserts many rows at once with one query.",
    ),
    (
        "topics/mail.txt",
        ["Mail", "Sending"],
        "Send a message with `send_mail()`; attachments need the class `EmailMessage`.",
    ),
    (
        "topics/i18n.txt",
        ["Translation", "Message files"],
        "A translation lives in a message file with the ending `.po`; compile it with compilemessages.",
    ),
]

MakeCollection = Callable[..., Collection]


@pytest.fixture
def make_collection(db) -> MakeCollection:
    """Put pages on the shelf, not yet indexed."""

    def make(slug: str, pages: Sequence[Page] = PAGES) -> Collection:
        collection = Collection.objects.create(
            slug=slug,
            title=slug,
            title_no=Collection.objects.count() + 1,
            visibility=Collection.Visibility.EVERYONE,
        )
        add_pages(collection, pages)
        return collection

    return make


def add_pages(collection: Collection, pages: Sequence[Page]) -> None:
    """Add passages; those of one path belong to one document."""
    for path, headings, text in pages:
        document, _ = Document.objects.get_or_create(
            collection=collection,
            path=path,
            defaults={"url": f"https://docs.example.org/{path}", "title": headings[0]},
        )
        position = document.passages.count()
        Passage.objects.create(
            collection=collection,
            document=document,
            position=position,
            headings=list(headings),
            anchor=headings[-1].lower().strip("()"),
            text=text,
            start=position * 1000,
            end=position * 1000 + len(text),
            content_hash=blake2b(text.encode(), digest_size=16).hexdigest(),
        )


@pytest.fixture
def words_only(make_collection: MakeCollection) -> Collection:
    """The small library, searchable by BM25."""
    collection = make_collection("framework")
    index_lexical(collection)
    return collection


@pytest.fixture
def shelf(words_only: Collection) -> Collection:
    """The small library with its vectors."""
    embed_missing(words_only)
    return words_only
