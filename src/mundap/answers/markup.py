"""The Markdown of answers and passages, as far as quoting and citing must know it: code, statements and markers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

_CODE = re.compile(
    r"(?P<fence>^[ \t]*(?P<mark>`{3,}|~{3,}).*?(?:^[ \t]*(?P=mark)[ \t]*$|\Z))|`[^`\n]+`",
    re.MULTILINE | re.DOTALL,
)
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,}).*?(?:^[ \t]*\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
MARKER = re.compile(r"\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
# A sentence ends before white space and a capital, a Hangul syllable or a quotation; markers belong to it.
_SENTENCE = re.compile(r"(?<=[.!?。])((?:\s*\[\d{1,3}\])*)\s+(?=[A-Z\uac00-\ud7a3\"'(`*])")
ITEM = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of text that can be quoted by itself, at `start` of the text that it was taken from."""

    kind: Literal["sentence", "item", "table", "code"]
    text: str
    start: int


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """Return `text` with `change` applied to everything that is not code."""
    if not _may_have_code(text):
        return change(text)
    pieces, last = [], 0
    for match in _CODE.finditer(text):
        pieces += [change(text[last : match.start()]), match.group()]
        last = match.end()
    return "".join([*pieces, change(text[last:])])


def masked_code(text: str) -> str:
    """Return `text` with its code made unreadable; every character stays in its place."""
    if not _may_have_code(text):
        return text
    return _CODE.sub(lambda match: "x" * len(match.group()), text)


def without_code(text: str) -> str:
    """Return `text` with its code left out."""
    return _CODE.sub("", text)


def _may_have_code(text: str) -> bool:
    """Tell, much sooner than the expression, that there is no code: this is asked for each token of an answer."""
    return "`" in text or "~~~" in text


def units(text: str) -> Iterator[Unit]:
    """Yield the code blocks, tables, list items and sentences of a passage, in order."""
    last = 0
    for match in _FENCE.finditer(text):
        yield from _prose_units(text, last, match.start())
        yield Unit("code", match.group().rstrip("\n"), match.start())
        last = match.end()
    yield from _prose_units(text, last, len(text))


def statements(text: str) -> Iterator[str]:
    """Yield the sentences and list items of an answer that carry markers, with their markers."""
    for unit in units(text):
        if unit.kind != "code" and MARKER.search(unit.text):
            yield unit.text


def _block_kind(block: str) -> Literal["item", "table"] | None:
    """Return what a block is that must not be cut at its full stops."""
    if ITEM.match(block):
        return "item"
    return "table" if block.startswith("|") else None


def _prose_units(text: str, start: int, end: int) -> Iterator[Unit]:
    for block in re.finditer(
        r"\S.*?(?=\n\s*\n|\n\s*(?:[-*•]|\d+[.)])\s|\Z)", text[start:end], re.DOTALL
    ):
        base = start + block.start()
        if kind := _block_kind(block.group()):
            yield Unit(kind, block.group().rstrip(), base)
            continue
        last = 0
        for match in _SENTENCE.finditer(block.group()):
            yield Unit("sentence", block.group()[last : match.end(1)], base + last)
            last = match.end()
        yield Unit("sentence", block.group()[last:].rstrip(), base + last)
