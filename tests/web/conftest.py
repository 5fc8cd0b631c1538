"""A shelf with one page of documentation, and a conversation about it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from mundap.accounts.models import User
from mundap.chats.models import Chat, Message, State, Turn
from mundap.library.models import Collection, Document, Passage

TEXT = (
    "To use Redis as your cache backend with Django:\n\n"
    "- Set `BACKEND` to the Redis class.\n"
    "- Set `LOCATION` to the URL pointing to your Redis instance.\n\n"
    '```python\nCACHES = {"default": 1}\n```'
)
QUOTE = "Set `LOCATION` to the URL pointing to your Redis instance."
HEADINGS = ["Django’s cache framework", "Redis"]


@pytest.fixture
def django_docs(db: None) -> Collection:
    return Collection.objects.create(
        slug="django",
        title="Django",
        version="5.2",
        title_no=1,
        visibility=Collection.Visibility.EVERYONE,
        state=Collection.State.READY,
    )


@pytest.fixture
def document(django_docs: Collection) -> Document:
    return Document.objects.create(
        collection=django_docs,
        path="topics/cache.txt",
        url="https://docs.djangoproject.com/en/5.2/topics/cache/",
        title="Django’s cache framework",
        text=TEXT,
        content_hash="1",
    )


@pytest.fixture
def passage(document: Document) -> Passage:
    texts = ["Memcached is a memory-based cache server.", TEXT, "Often servers ask for a password."]
    rows = [
        Passage.objects.create(
            collection=document.collection,
            document=document,
            position=position,
            headings=HEADINGS,
            anchor="redis",
            text=text,
            start=0,
            end=len(text),
            content_hash=f"h{position}",
        )
        for position, text in enumerate(texts)
    ]
    return rows[1]


def cite(passage: Passage, *, quote: str = QUOTE, **changes: Any) -> dict[str, Any]:
    start = passage.text.find(quote)
    return {
        "number": 1,
        "passage": str(passage.pk),
        "document": passage.document.title,
        "path": passage.document.path,
        "headings": passage.headings,
        "url": f"{passage.document.url}#{passage.anchor}",
        "quote": quote,
        "supported": True,
        "start": start,
        "end": start + len(quote),
        "content_hash": passage.content_hash,
    } | changes


MakeChat = Callable[..., tuple[Chat, Message]]


@pytest.fixture
def make_chat(passage: Passage) -> MakeChat:
    """Store a conversation of one turn and return it with its answer."""

    def make(
        owner: User,
        question: str = "How do I use Redis?",
        answer: str = "Set `LOCATION` [1].",
        *,
        title: str = "Redis as the cache",
        state: State = State.COMPLETE,
        is_answered: bool = True,
        error: str = "",
        citations: list[dict[str, Any]] | None = None,
    ) -> tuple[Chat, Message]:
        chat = Chat.objects.create(
            owner=owner, collection=passage.collection, title=title, next_position=2
        )
        asked = Message.objects.create(chat=chat, position=0, role="user", text=question)
        said = Message.objects.create(
            chat=chat,
            position=1,
            role="assistant",
            text=answer,
            state=state,
            citations=[cite(passage)] if citations is None else citations,
        )
        Turn.objects.create(
            chat=chat,
            owner=owner,
            idempotency_key=str(chat.pk),
            request_hash=b"-",
            status=state,
            runner="test",
            lease_until=timezone.now() + timedelta(minutes=1),
            question=asked,
            answer=said,
            retrieval={"is_answered": is_answered},
            error={"code": "model_error", "message": error} if error else None,
            finished_at=None if state == State.RUNNING else timezone.now(),
        )
        return chat, said

    return make
