"""The numbered passages that an answer may use: widened to their neighbours, within a budget of tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db.models import F, Func, Q, QuerySet, Sum

from mundap.library.models import Collection, Document, Passage
from mundap.library.parsing.page import Kind
from mundap.library.reading_order import place_of
from mundap.llm.metering import count_tokens
from mundap.retrieval.search import ScoredPassage

MOST_NUMBERS = 999  # a marker has three digits at most


@dataclass(frozen=True, slots=True)
class Part:
    """A passage's text; `start` and `end` are characters of its document."""

    passage: UUID
    kind: str
    text: str
    start: int
    end: int
    content_hash: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """One numbered entry: a passage that was found, with its neighbours of the same section in reading order."""

    number: int
    document: str
    path: str
    headings: tuple[str, ...]
    url: str
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """Return all parts as one text."""
        return "\n\n".join(part.text for part in self.parts)


def gather(
    found: Sequence[ScoredPassage], *, budget_tokens: int, is_widened: bool
) -> list[Evidence]:
    """Return the found passages as numbered evidence, best first; what does not fit the budget is left out.

    Passages that follow each other in one section become one entry, so that nothing is sent or cited twice. What goes
    on with a definition comes with its beginning: the signature.
    """
    rows = _load(found, with_neighbours=is_widened)
    by_place = {(row.document_id, row.position): row for row in rows}
    by_id = {row.id: row for row in rows}
    openings = {_section(row): row for row in rows if row.kind == Kind.DEFINITION}
    core = {one.passage for one in found}
    used: set[UUID] = set()
    evidence: list[Evidence] = []
    for one in found:
        row = by_id.get(one.passage)
        if row is None or row.id in used:  # deleted since the search, or part of an earlier entry
            continue
        run = _run(row, by_place, core=core, is_widened=is_widened)
        if (opening := openings.get(_section(row))) and opening not in run:
            run = [opening, *run]
        run = [part for part in run if part.id not in used]
        cost = sum(count_tokens(part.text) for part in run)
        if cost > budget_tokens:
            run, cost = [row], count_tokens(row.text)
        if cost > budget_tokens:
            continue
        budget_tokens -= cost
        used.update(part.id for part in run)
        evidence.append(
            Evidence(
                number=len(evidence) + 1,
                document=one.title,
                path=one.path,
                headings=one.headings,
                url=one.url,
                parts=tuple(_part(part) for part in run),
            )
        )
    return evidence


def whole(collection: Collection, *, budget_tokens: int) -> list[Evidence] | None:
    """Return all of a reference in reading order, or None where it does not fit the budget."""
    documents = Document.objects.filter(collection=collection)
    size_bytes = documents.aggregate(size=Sum(Func(F("text"), function="octet_length")))["size"]
    if (size_bytes or 0) // 3 > budget_tokens:
        return None
    everything = numbered(in_order(Passage.objects.filter(collection=collection)))
    fits = count_tokens(as_material(everything)) <= budget_tokens
    return everything if fits and len(everything) <= MOST_NUMBERS else None


def in_order(passages: QuerySet[Passage]) -> list[Passage]:
    """Return the passages, with their documents, in the order in which people read them."""
    rows = passages.select_related("document").defer("lexical", "document__text")
    return sorted(rows, key=lambda row: (place_of(row.document.path), row.position))


def numbered(rows: Iterable[Passage]) -> list[Evidence]:
    """Return each of the passages as an entry of its own."""
    return [
        Evidence(
            number=number,
            document=row.document.title,
            path=row.document.path,
            headings=tuple(row.headings),
            url=f"{row.document.url}#{row.anchor}" if row.anchor else row.document.url,
            parts=(_part(row),),
        )
        for number, row in enumerate(rows, start=1)
    ]


def as_material(evidence: Sequence[Evidence]) -> str:
    """Return the passages as a model is given them, each under its number and headings."""
    return "\n\n".join(
        f"[{one.number}] {' › '.join((one.document, *one.headings))}\n{one.text}"
        for one in evidence
    )


def as_json(evidence: Sequence[Evidence]) -> list[dict[str, Any]]:
    """Return what is stored of the passages given to an answer; `number` is the marker that stands for them."""
    return [
        {
            "number": one.number,
            "passage": str(part.passage),
            "document": one.document,
            "path": one.path,
            "headings": list(one.headings),
            "url": one.url,
        }
        for one in evidence
        for part in one.parts
    ]


def restored(
    stored: Sequence[Mapping[str, Any]], *, collection: Collection
) -> list[Evidence] | None:
    """Return the evidence that `as_json` was made of, None where one of its passages is gone.

    A passage whose text has changed is another passage, so what is there says what it said then.
    """
    ids = [UUID(one["passage"]) for one in stored]
    rows = Passage.objects.defer("lexical").filter(collection=collection).in_bulk(ids)
    if any(each not in rows for each in ids):
        return None
    entries = [list(parts) for _, parts in groupby(stored, key=lambda one: one["number"])]
    return [
        Evidence(
            number=parts[0]["number"],
            document=parts[0]["document"],
            path=parts[0]["path"],
            headings=tuple(parts[0]["headings"]),
            url=parts[0]["url"],
            parts=tuple(_part(rows[UUID(each["passage"])]) for each in parts),
        )
        for parts in entries
    ]


def _load(found: Sequence[ScoredPassage], *, with_neighbours: bool) -> list[Passage]:
    rows = Passage.objects.defer("lexical")
    core = list(rows.filter(id__in=[one.passage for one in found]))
    places = Q()
    for row in core:
        if row.kind != Kind.DEFINITION:
            places |= Q(
                document=row.document_id,
                kind=Kind.DEFINITION,
                headings=row.headings,
                position__lt=row.position,
            )
        if with_neighbours:
            places |= Q(document=row.document_id, position__in=[row.position - 1, row.position + 1])
    if not places:
        return core
    return core + list(rows.filter(places).exclude(id__in=[row.id for row in core]))


def _section(row: Passage) -> tuple[UUID, tuple[str, ...]]:
    return row.document_id, tuple(row.headings)


def _run(
    row: Passage,
    by_place: dict[tuple[UUID, int], Passage],
    *,
    core: Iterable[UUID],
    is_widened: bool,
) -> list[Passage]:
    """Return `row` with the neighbours in its section: found ones always, others where widening is wanted."""
    run = [row]
    for step in (-1, 1):
        place = row.position + step
        while (near := by_place.get((row.document_id, place))) and near.headings == row.headings:
            if near.id not in core and not is_widened:
                break
            run = [near, *run] if step < 0 else [*run, near]
            if near.id not in core:  # only one step beyond what was found
                break
            place += step
    return run


def _part(row: Passage) -> Part:
    return Part(row.id, row.kind, row.text, row.start, row.end, row.content_hash)
