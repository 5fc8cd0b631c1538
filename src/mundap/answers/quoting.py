"""The answer without a chat model: the best sentences, definitions and code of the best passages, each cited.

Nothing here is written by us but the frame: what a reader sees is what the documents say, word for word.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import override

from mundap.answers.citations import quote_citation
from mundap.answers.events import Citation
from mundap.answers.evidence import Evidence, Part
from mundap.answers.language import Language
from mundap.answers.markup import Unit, units
from mundap.library.parsing.page import Kind
from mundap.retrieval.relevance import rank_texts

ENTRIES = 3  # passages quoted from, at most
UNITS_FIRST = 4  # sentences of the best passage; of the others half as many
CHARACTERS = 900  # of an entry
ANNOUNCED = 6  # list items behind the sentence that announces them
MIN_CHARACTERS = 20  # of a unit that is worth quoting
LEAD_BONUS = 0.5  # in standard deviations: a passage's first words usually say what it is about
NEAREST = 3  # passages named when nothing answers
OPENING_CHARACTERS = 200  # about as much of each is quoted


@dataclass(frozen=True, slots=True)
class _Candidate:
    entry: Evidence
    part: Part
    unit: Unit


def quote(
    question: str, evidence: Sequence[Evidence], *, language: Language
) -> tuple[str, tuple[Citation, ...]]:
    """Return the quotations as Markdown with a marker behind each, and their citations."""
    candidates = [
        _Candidate(entry, part, unit)
        for entry in evidence[:ENTRIES]
        for part in entry.parts
        for unit in units(part.text)
        if unit.kind == "code" or len(unit.text) >= MIN_CHARACTERS
    ]
    scores = rank_texts(question, [one.unit.text for one in candidates])
    ranked = {
        id(one): score + (LEAD_BONUS if one.unit.start == 0 else 0.0)
        for one, score in zip(candidates, scores, strict=True)
    }
    blocks: list[str] = []
    citations: list[Citation] = []
    for place, entry in enumerate(evidence[:ENTRIES]):
        mine = [one for one in candidates if one.entry is entry]
        limit = UNITS_FIRST if place == 0 else UNITS_FIRST // 2
        chosen = _choose(mine, ranked, limit)
        if not chosen:
            continue
        blocks.append(_block(entry, chosen))
        best = max(chosen, key=lambda one: ranked[id(one)])
        citations.append(quote_citation(entry, best.part, best.unit.text))
    with override(language):
        lead = _("The documents say:")
    return "\n\n".join([lead, *blocks]), tuple(citations)


def refuse(
    evidence: Sequence[Evidence], *, language: Language, is_complete: bool = True
) -> tuple[str, tuple[Citation, ...]]:
    """Return the sentence that the documents do not say it, with the nearest passages.

    `is_complete` is False while documents are still being read: the answer may be among those to come.
    """
    nearest = evidence[:NEAREST]
    with override(language):
        lines = [_("I could not find an answer to this in the documents.")]
        if not is_complete:
            lines.append(_("They are still being read; ask again in a moment."))
        paragraphs = [" ".join(lines)]
        if nearest:
            items = [f"- {_trail(one)} [{one.number}]" for one in nearest]
            paragraphs += [_("The nearest passages are:"), "\n".join(items)]
    text = "\n\n".join(paragraphs)
    citations = tuple(
        quote_citation(one, one.parts[0], _opening(one.parts[0].text)) for one in nearest
    )
    return text, citations


def _opening(text: str) -> str:
    """Return what a passage begins with: no sentence of it is cut, unless the first is very long."""
    end = 0
    for unit in units(text):
        if end and unit.start + len(unit.text) > OPENING_CHARACTERS:
            break
        end = unit.start + len(unit.text)
    return text[: min(end, CHARACTERS)]


def refusal_alone(text: str) -> str:
    """Return what `refuse` says before it names the nearest passages: for where its citations are listed anyway."""
    return text.partition("\n\n")[0]


def _choose(mine: Sequence[_Candidate], ranked: dict[int, float], limit: int) -> list[_Candidate]:
    """Return the best units in reading order, each with the list or code that it announces, within the length.

    A definition is quoted with its signature and the sentence behind it, whatever else fits the question.
    """
    chosen: set[int] = set()
    length = 0
    best = sorted(range(len(mine)), key=lambda place: ranked[id(mine[place])], reverse=True)[:limit]
    if mine and mine[0].part.kind == Kind.DEFINITION:
        best = [*range(min(2, len(mine))), *best]
    for place in best:
        for one in _with_announced(mine, place):
            size = len(mine[one].unit.text)
            if one not in chosen and (not chosen or length + size <= CHARACTERS):
                chosen.add(one)
                length += size
    return [mine[place] for place in sorted(chosen)]


def _with_announced(mine: Sequence[_Candidate], place: int) -> list[int]:
    """Return the unit's place, and those of the list or block behind it where it ends in a colon."""
    places = [place]
    if mine[place].unit.kind == "sentence" and mine[place].unit.text.endswith(":"):
        for following in range(place + 1, len(mine)):
            kind = mine[following].unit.kind
            if kind == "sentence" or (kind != "item" and following > place + 1):
                break
            places.append(following)
    return places[: ANNOUNCED + 1]


def _block(entry: Evidence, chosen: Sequence[_Candidate]) -> str:
    lines = [f"**{_trail(entry)}**"]
    for one in chosen:
        text = textwrap.dedent(one.unit.text).strip()
        if one.unit.kind in {"code", "table"}:
            lines.append(f"{text}\n\n[{entry.number}]")
        else:
            lines.append(f"> {' '.join(text.split())} [{entry.number}]")
    return "\n\n".join(lines)


def _trail(entry: Evidence) -> str:
    return " › ".join(entry.headings[-2:]) or entry.document or entry.path
