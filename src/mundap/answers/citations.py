"""Markers in an answer and what stands behind them: checked against the passages, removed where they point to nothing.

Whether what a statement cites supports it is for `judgement.py` to say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mundap.answers.events import Citation
from mundap.answers.evidence import Evidence, Part
from mundap.answers.judgement import judge
from mundap.answers.markup import (
    ITEM,
    MARKER,
    masked_code,
    outside_code,
    statements,
    units,
    without_code,
)
from mundap.retrieval.lexical import analyse, query_terms

QUOTE_CHARACTERS = 300
_SPACED_MARKER = re.compile(r"(?<![ \t])([ \t]*)" + MARKER.pattern)
_LINK = re.compile(r"\[([^\[\]\n]*)\]\((?:[^()\s]|\([^()\s]*\))*\)")
_SIGN = re.compile(r"[`~\[\n]")  # without one, text only goes on with what it goes on from
_UNSETTLED = re.compile(r"\[[\d,\s]*$|`[^`\n]*$")


def check(
    text: str, evidence: Sequence[Evidence], *, by_meaning: bool = False
) -> tuple[str, tuple[Citation, ...]]:
    """Return the text with only markers that point to something, and a citation for each number in it.

    `by_meaning` asks the embedding model where words cannot tell whether a statement is supported.
    """
    by_number = {one.number: one for one in evidence}
    clean = _clean(text, by_number).strip()
    cited: dict[int, list[tuple[str, bool | None]]] = {}
    for said, numbers, verdict in _judged(clean, by_number, by_meaning=by_meaning):
        for number in numbers:
            cited.setdefault(number, []).append((said, verdict))
    citations = [_cite(by_number[number], said) for number, said in sorted(cited.items())]
    return clean, tuple(citations)


def verdicts(text: str, evidence: Sequence[Evidence]) -> list[bool | None]:
    """Return for each statement of a checked text that carries markers whether what it cites supports it.

    A marker that stands alone, below code for example, is no statement.
    """
    by_number = {one.number: one for one in evidence}
    judged = _judged(text, by_number, by_meaning=True)
    return [verdict for said, _, verdict in judged if any(map(str.isalnum, said))]


def _judged(
    text: str, by_number: dict[int, Evidence], *, by_meaning: bool
) -> list[tuple[str, list[int], bool | None]]:
    """Return each statement without its markers, the numbers it cites, and whether these together support it."""
    cited = [
        # The number of a step is no number that a passage should name.
        (ITEM.sub("", outside_code(statement, _without_markers)), numbers)
        for statement in statements(text)
        if (numbers := _numbers(statement))
    ]
    pairs = [(said, "\n\n".join(by_number[n].text for n in numbers)) for said, numbers in cited]
    return [
        (*one, verdict)
        for one, verdict in zip(cited, judge(pairs, by_meaning=by_meaning), strict=True)
    ]


class Unfinished:
    """An answer that is still being written, as far as it can be shown: all but an end that may become a marker."""

    def __init__(self, evidence: Sequence[Evidence]) -> None:
        self._by_number = {one.number: one for one in evidence}
        self._lines = ""  # which are whole, and need not be looked at again
        self._rest = ""
        self._line = ""  # the rest as it can be shown
        self._is_settled = True  # all of the rest is shown

    def add(self, piece: str) -> str:
        """Return the text to be shown; it begins with what was returned before, and `check` returns it in the end."""
        self._rest += piece
        if self._is_settled and not _SIGN.search(piece):
            self._line += piece  # as with most tokens
        else:
            self._settle()
        return (self._lines + self._line).strip()

    def _settle(self) -> None:
        masked = masked_code(self._rest)
        held = _UNSETTLED.search(masked)
        end = held.start() if held else len(masked)
        whole = masked.rfind("\n", 0, end) + 1
        self._lines += _clean(self._rest[:whole], self._by_number)
        self._line = _clean(self._rest[whole:end], self._by_number)
        self._rest = self._rest[whole:]
        self._is_settled = held is None


def quote_citation(one: Evidence, part: Part, quote: str) -> Citation:
    """Return the citation of words that stand in the passage as they are."""
    return _citation(one, part, quote, supported=True)


def _numbers(statement: str) -> list[int]:
    """Return the numbers of its markers; by now each stands alone and leads somewhere."""
    return [int(number) for number in MARKER.findall(without_code(statement))]


def _without_markers(prose: str) -> str:
    """Return the words alone: where a link leads is no statement."""
    return MARKER.sub("", _LINK.sub(r"\1", prose))


def _clean(text: str, by_number: dict[int, Evidence]) -> str:
    if "[" not in text:
        return text

    def known(match: re.Match[str]) -> str:
        numbers = [n for n in map(int, match.group(2).split(",")) if n in by_number]
        return match.group(1) + "".join(f"[{n}]" for n in numbers) if numbers else ""

    return outside_code(text, lambda prose: _SPACED_MARKER.sub(known, prose))


def _cite(one: Evidence, said: Sequence[tuple[str, bool | None]]) -> Citation:
    found = [verdict for _, verdict in said]
    supported = False if False in found else (True if True in found else None)
    part, quote = _best_quote(one, " ".join(statement for statement, _ in said))
    doubted = tuple(statement for statement, verdict in said if verdict is False)
    return _citation(one, part, quote, supported=supported, doubted=doubted)


def _best_quote(one: Evidence, statement: str) -> tuple[Part, str]:
    """Return the unit of the evidence that shares most terms with the statement, for its length."""
    wanted = query_terms(statement).keys()
    scored = [
        (len(wanted & {term.text for term in analyse(unit.text)}), -len(unit.text), part, unit.text)
        for part in one.parts
        for unit in units(part.text)
    ]
    if not scored:
        return one.parts[0], one.parts[0].text[:QUOTE_CHARACTERS]
    *_, part, quote = max(scored, key=lambda entry: entry[:2])
    return part, quote[:QUOTE_CHARACTERS]


def _citation(
    one: Evidence, part: Part, quote: str, *, supported: bool | None, doubted: tuple[str, ...] = ()
) -> Citation:
    offset = part.text.find(quote)
    is_exact = offset >= 0 and part.end - part.start == len(part.text)
    start = part.start + offset if is_exact else part.start
    return Citation(
        number=one.number,
        passage=part.passage,
        document=one.document,
        path=one.path,
        headings=one.headings,
        url=one.url,
        quote=quote,
        supported=supported,
        start=start,
        end=start + len(quote) if is_exact else part.end,
        content_hash=part.content_hash,
        doubted=doubted,
    )
