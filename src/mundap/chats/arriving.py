"""An answer's Markdown as it arrives: HTML block by block, each rendered as the stored answer will be.

Markdown is read line by line, so that what arrives later can only change the last block. Blocks before it are rendered
once; the last one anew each time, as it looks if it ends well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os.path import commonprefix
from typing import Any

from markdown_it.token import Token

from mundap.chats.rendering import parsed, rendered

_LINE_END = re.compile(r"\r\n?|\n")
# A last line that may yet become a list, a heading, a rule, a fence or a table's row: it is shown when that is known.
_UNDECIDED = re.compile(r"(?:^|\n)[ \t>]*(?:[-*_=+#~`]+|\d+[.)]?|\|[^\n]*)[ \t]*\Z")
_TABLE_HEAD = re.compile(r"[ \t]*\|[^\n]*\n?")
_OPEN_LINK = re.compile(r"!?\[[^\[\]\n]*(?:\](?:\([^()\n]*)?)?\Z")
_CODE = re.compile(r"`[^`\n]*`")
_EMPHASIS = (re.compile(r"\*\*"), re.compile(r"(?<![*\s])\*(?![*])|(?<!\*)\*(?![*\s])"))


@dataclass(frozen=True, slots=True)
class Change:
    """The HTML of block `index` from its character `at` on, counted as browsers do; what stood before that stays."""

    index: int
    at: int
    html: str


class Arriving:
    """The blocks of a text that grows; `link` says where the markers of passages lead."""

    def __init__(self, link: Callable[[Mapping[str, Any]], str]) -> None:
        self._link = link
        self._settled = 0  # characters of the text in blocks that cannot change
        self._index = 0  # of the block behind them
        self._shown = ""  # of that block

    def open_characters(self, text: str) -> int:
        """Return how much of the text would be rendered anew."""
        return len(text) - self._settled

    def changes(self, text: str, *, passages: Sequence[Mapping[str, Any]]) -> list[Change]:
        """Return what is new since the last call; markers may stand for any of the `passages`."""
        rest = text[self._settled :]
        tokens, env = parsed(rest, citations=passages, link=self._link)
        *settled, last = list(_blocks(tokens)) or [[]]
        found = []
        for block in settled:
            found.append(self._show(rendered(block, env)))
            self._index, self._shown = self._index + 1, ""
        begin = _offset(rest, last[0]) if last else 0
        self._settled += begin
        if last and last[0].type not in ("fence", "code_block"):
            last, env = parsed(_ended_well(rest[begin:]), citations=passages, link=self._link)
        found.append(self._show(rendered(last, env)))
        return [change for change in found if change]

    def _show(self, html: str) -> Change | None:
        html = html.strip()
        if html == self._shown:
            return None
        same = commonprefix([html, self._shown])  # noqa: RUF071 - of texts, not of paths
        self._shown = html
        return Change(self._index, len(same.encode("utf-16-le")) // 2, html[len(same) :])


def _blocks(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """Yield the tokens of each block of the highest level."""
    block: list[Token] = []
    depth = 0
    for token in tokens:
        block.append(token)
        depth += token.nesting
        if not depth:
            yield block
            block = []


def _offset(text: str, token: Token) -> int:
    """Return where the token's first line begins."""
    line = token.map[0] if token.map else 0
    ends = [0, *(match.end() for match in _LINE_END.finditer(text))]
    return ends[line]


def _ended_well(text: str) -> str:
    """Return the block without an end that is not decided yet, and with its emphasis closed."""
    text = _UNDECIDED.sub("", text)
    if _TABLE_HEAD.fullmatch(text):
        return ""
    text = _OPEN_LINK.sub("", text).rstrip()
    for sign, closing in zip(_EMPHASIS, ("**", "*"), strict=True):
        if len(sign.findall(_CODE.sub("", text))) % 2:
            text = text.removesuffix(closing) if text.endswith(closing) else text + closing
    return text
