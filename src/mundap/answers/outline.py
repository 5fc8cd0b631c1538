"""An outline without a model: each section's name and its leading sentence, word for word, cited.

It goes as deep as fits into a list that one can still look over.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mundap.answers.citations import quote_citation
from mundap.answers.events import Citation
from mundap.answers.evidence import Evidence
from mundap.answers.markup import MARKER, outside_code, units
from mundap.answers.sections import Content

MOST_LINES = 120
SENTENCE_CHARACTERS = 240
MIN_CHARACTERS = 20  # of a sentence that says something
_ONLY_CODE = re.compile(r"(?:`[^`]+`\s*)+")

_Key = tuple[str, ...]  # a page's path and a trail of headings below it


@dataclass(slots=True)
class _Line:
    """A section of the outline; `entry` is the passage that speaks for it, if there is one."""

    name: str
    depth: int
    entry: Evidence | None = None


def outline(content: Content) -> tuple[str, tuple[Citation, ...]]:
    """Return the outline as a Markdown list with a marker behind each sentence, and the citations."""
    lines = _lines(content)
    shown: list[str] = []
    citations: list[Citation] = []
    for line in lines[:MOST_LINES]:
        item = f"{'  ' * line.depth}- **{line.name}**"
        if line.entry:
            sentence, number = _leading(line.entry), len(citations) + 1
            item += f": {_shown(sentence)} [{number}]" if sentence else f" [{number}]"
            citations.append(_cited(line.entry, number, sentence))
        shown.append(item)
    if len(lines) > MOST_LINES:
        shown.append("- …")
    return "\n".join(shown), tuple(citations)


def _lines(content: Content) -> list[_Line]:
    """Return the sections as deep as there is room for, in reading order."""
    trails = [_trail(entry) for entry in content.entries]
    base = _base(content, trails)
    depth = max((len(trail) for trail in trails), default=base)
    while depth > base and _count(trails, base, depth) > MOST_LINES:
        depth -= 1
    lines: dict[_Key, _Line] = {}
    for entry, trail in zip(content.entries, trails, strict=True):
        for size in range(base, min(len(trail), depth) + 1):
            line = lines.setdefault(trail[:size], _Line(trail[size - 1], size - base))
            # What stands below is said by a line of its own, unless that is too deep.
            if size in (len(trail), depth) and line.entry is None:
                line.entry = entry
    return list(lines.values())


def _base(content: Content, trails: Sequence[_Key]) -> int:
    """Return the size of the trail of what is outlined, or of a page where that is more than one."""
    if not content.headings:
        return 2
    return len(trails[0]) - len(content.entries[0].headings) + len(content.headings)


def _trail(entry: Evidence) -> _Key:
    """Return the page's path and the entry's headings, the page's title first."""
    title = entry.document or entry.path
    under = entry.headings if entry.headings[:1] == (title,) else (title, *entry.headings)
    return (entry.path, *under)


def _count(trails: Sequence[_Key], base: int, depth: int) -> int:
    return len({trail[:size] for trail in trails for size in range(base, depth + 1)})


def _leading(entry: Evidence) -> str:
    """Return the first sentence of the passage, or the first words of one that is too long."""
    sentences = (unit.text for unit in units(entry.text) if unit.kind == "sentence")
    telling = (
        text for text in sentences if len(text) >= MIN_CHARACTERS and not _ONLY_CODE.fullmatch(text)
    )
    sentence = next(telling, "")
    if len(sentence) <= SENTENCE_CHARACTERS:
        return sentence
    return sentence[:SENTENCE_CHARACTERS].rpartition(" ")[0] or sentence[:SENTENCE_CHARACTERS]


def _shown(sentence: str) -> str:
    """Return the sentence on one line, without what would be read as a marker of ours."""
    return " ".join(outside_code(sentence, lambda prose: MARKER.sub("", prose)).split())


def _cited(entry: Evidence, number: int, sentence: str) -> Citation:
    numbered = replace(entry, number=number)
    return quote_citation(numbered, entry.parts[0], sentence or entry.text[:SENTENCE_CHARACTERS])
