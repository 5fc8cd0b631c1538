"""`mundap ask`: one question, answered here and now without a server."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import click

from mundap.cli.runtime import started

if TYPE_CHECKING:
    from mundap.answers.events import Answered
    from mundap.library.models import Collection


@click.command("ask")
@click.argument("question")
@click.option(
    "--collection", "slug", required=True, help="The collection's short name, as in `django`."
)
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
def command(question: str, slug: str, is_json: bool) -> None:
    """Answer QUESTION from a collection, with the passages that say it."""
    begun = time.perf_counter()
    with started():
        from mundap.answers.questions import checked_question
        from mundap.chats.limits import asking_for_nobody

        collection, question = _collection(slug), checked_question(question)
        with asking_for_nobody(question):
            answered = asyncio.run(_answer(question, collection, is_shown=not is_json))
        seconds = time.perf_counter() - begun
        if is_json:
            click.echo(json.dumps(_document(answered, collection, seconds), ensure_ascii=False))
        else:
            _print_sources(answered, seconds)


def _collection(slug: str) -> Collection:
    """Return the collection; the command line belongs to the operator, so every one may be named."""
    from mundap.errors import NotFound
    from mundap.library.models import Collection

    try:
        return Collection.objects.get(slug=slug)
    except Collection.DoesNotExist:
        there = ", ".join(Collection.objects.values_list("slug", flat=True)) or "none yet"
        raise NotFound(
            f"There is no collection {slug!r}; there are: {there}. Put one on the shelf with: mundap ingest"
        ) from None


async def _answer(question: str, collection: Collection, *, is_shown: bool) -> Answered:
    from mundap.answers.answering import answer
    from mundap.answers.events import Answered, TextDelta

    answered = None
    async for event in answer(question, collection=collection):
        if isinstance(event, TextDelta) and is_shown:
            click.echo(event.text, nl=False)
        elif isinstance(event, Answered):
            answered = event
    assert answered is not None, "an answer ends with Answered or raises"  # noqa: S101
    return answered


def _print_sources(answered: Answered, seconds: float) -> None:
    click.echo("\n")
    for one in answered.citations:
        mark = "" if one.supported is not False else "  (does not support what cites it)"
        click.echo(
            f"[{one.number}] {' › '.join((one.document, *one.headings[1:]))}{mark}\n    {one.url or one.path}"
        )
    click.echo(f"\n{seconds:.1f} s", err=True)


def _document(answered: Answered, collection: Collection, seconds: float) -> dict[str, Any]:
    keys = ("number", "document", "path", "headings", "url", "quote", "supported")
    return {
        "text": answered.text,
        "language": answered.language,
        "answered": answered.is_answered,
        "collection": collection.slug,
        "citations": [{key: one.as_json()[key] for key in keys} for one in answered.citations],
        "seconds": round(seconds, 3),
    }
