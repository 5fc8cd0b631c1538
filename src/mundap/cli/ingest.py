"""`mundap ingest`: documents on the shelf, or brought up to date; searchable when it ends."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from mundap.cli.runtime import started
from mundap.errors import InvalidInput, ModelError, SourceError

if TYPE_CHECKING:
    from mundap.accounts.models import User
    from mundap.library.ingestion import Ingested
    from mundap.library.models import Collection
    from mundap.library.shelving import ShelfMark


@click.command("ingest")
@click.argument("source")
@click.option(
    "--slug", help="Short name of the collection, as in `django`; default: by the source."
)
@click.option("--category", help="Category on the shelf; default: OFFICIAL_DOCS.")
@click.option(
    "--title-no", type=click.IntRange(min=1), help="Number in its category; default: the next free."
)
@click.option("--title", help="Title on the shelf; default: by the source.")
@click.option("--language", help="Language of the documents, as in `ko`; default: en.")
@click.option(
    "--visibility",
    type=click.Choice(["everyone", "private"]),
    help="Who may see it; default: everyone. What is private belongs to the first administrator.",
)
@click.option("--base-url", help="Where the pages are published; citations link there.")
@click.option("--family", help="Documentation that this is one version of, as in `django`.")
@click.option("--current", "is_current", is_flag=True, help="Offer this version of it first.")
@click.option(
    "--refresh-days",
    type=click.IntRange(0, 365),
    help="Have a worker read it again after so many days; default: 0, never.",
)
@click.option("--wait-vectors", is_flag=True, help="Wait until every passage has its vector.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
def command(
    source: str, wait_vectors: bool, is_json: bool, is_current: bool, **options: Any
) -> None:
    """Read SOURCE into a collection. The same short name again brings it up to date.

    \b
    mundap ingest pypi:django==5.2.19#docs
    mundap ingest pypi:django==4.2.20#docs --family django
    mundap ingest sphinx:https://docs.celeryq.dev/en/stable/
    mundap ingest dir:/path/to/handbook --category TEAM --title "Handbook" --language ko
    """
    begun = time.perf_counter()
    with started():
        from mundap.library.ingestion import ingest_source

        with _bar("Reading", "page") as show:
            collection, ingested = ingest_source(
                source,
                _mark(options, is_current=is_current),
                progress=lambda done, total, _path: show(done, total),
            )
        _index(collection, wait_vectors=wait_vectors)
        document = _document(collection, ingested, time.perf_counter() - begun)
        click.echo(json.dumps(document, ensure_ascii=False) if is_json else _summary(document))
        if not document["passages"]:
            raise SourceError(collection.error or f"{source} has no text that can be read.")


def _mark(options: dict[str, Any], *, is_current: bool) -> ShelfMark:
    from django.core.exceptions import ValidationError

    from mundap.library.shelving import ShelfMark

    given = {name: value for name, value in options.items() if value is not None}
    try:
        _check(given)
    except ValidationError as exc:
        for name, messages in exc.message_dict.items():
            if name in given:  # what is not given is taken from the source
                option = f"--{name.replace('_', '-')}"
                raise InvalidInput(f"{option}: {' '.join(messages)}") from exc
    owner = _first_administrator() if options["visibility"] == "private" else None
    return ShelfMark(**options, is_current=is_current, owner=owner)


def _check(given: dict[str, Any]) -> None:
    """Raise ValidationError for what a collection cannot be made of."""
    from django.core.exceptions import ValidationError

    from mundap.library.models import Collection

    for name, value in given.items():
        try:
            str(value).encode()
        except UnicodeEncodeError as exc:  # an argument's bytes need not be text
            raise ValidationError({name: "This is not UTF-8 text."}) from exc
    if not given.get("base_url", "http:").startswith(("http:", "https:")):
        raise ValidationError({"base_url": "Enter an address of http or https."})
    Collection(**given).clean_fields()


def _first_administrator() -> User:
    from mundap.accounts.models import User

    owner = User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
    if owner is None:
        raise InvalidInput(
            "Something private needs an owner. Make an administrator first: mundap create-admin EMAIL"
        )
    return owner


def _index(collection: Collection, *, wait_vectors: bool) -> None:
    """Make the collection searchable by words, and by meaning if that is to be waited for."""
    from mundap.retrieval.indexing import index_lexical
    from mundap.retrieval.vectors import embed_missing

    with _bar("Indexing", "passage") as show:
        index_lexical(collection, progress=show)
    if wait_vectors:
        try:
            with _bar("Vectors", "passage") as show:
                embed_missing(collection, progress=show)
        except ModelError as exc:
            raise ModelError(
                f"{exc.message} {collection.slug!r} is on the shelf and found by words; its vectors are missing. "
                "`mundap doctor` tells more; the same command again goes on."
            ) from exc


@contextmanager
def _bar(label: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Give what shows how far the work is, on standard error; a bar on a terminal, else silent."""
    with tqdm(
        desc=label, unit=f" {unit}s", file=sys.stderr, disable=None, leave=False, mininterval=0.2
    ) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


def _document(collection: Collection, ingested: Ingested, seconds: float) -> dict[str, Any]:
    from mundap.library.models import Document
    from mundap.retrieval.vectors import embedding_progress

    vectors = embedding_progress(collection)
    failed = collection.documents.filter(state=Document.State.FAILED)
    return {
        "collection": collection.slug,
        "title": collection.title,
        "version": collection.version,
        "category": collection.category,
        "title_no": collection.title_no,
        "source": collection.source,
        "base_url": collection.base_url,
        "documents": collection.documents_total,
        "added": ingested.added,
        "changed": ingested.changed,
        "deleted": ingested.deleted,
        "unchanged": ingested.unchanged,
        "left_out": ingested.left_out,
        "failed": [
            {"path": path, "error": error} for path, error in failed.values_list("path", "error")
        ],
        "passages": ingested.passages,
        "vectors": {"done": vectors.done, "total": vectors.total},
        "seconds": round(seconds, 3),
    }


_COUNTS = {"added": "new", "changed": "changed", "deleted": "deleted", "unchanged": "unchanged"}
_LEFT_OUT = "left out (not to be read, or the same as another page)"


def _summary(document: dict[str, Any]) -> str:
    title = f"{document['title']} {document['version']}".strip()
    size = f"{document['documents']} pages, {document['passages']} passages"
    lines = [f"{title} is on the shelf as {document['collection']!r}: {size}."]
    counts = (f"{document[name]} {word}" for name, word in _COUNTS.items())
    lines.append(f"  {', '.join(counts)} ({document['seconds']:.1f} s).")
    if document["left_out"]:
        lines.append(f"  {document['left_out']} {_LEFT_OUT}.")
    lines += [f"  Not read: {each['path']}: {each['error']}" for each in document["failed"][:10]]
    vectors = document["vectors"]
    if vectors["done"] < vectors["total"]:
        lines.append(
            f"  It can be searched now. {vectors['done']} of {vectors['total']} passages have their vector; "
            "a running `mundap up` or `mundap worker` fills in the rest, or --wait-vectors does."
        )
    return "\n".join(lines)
