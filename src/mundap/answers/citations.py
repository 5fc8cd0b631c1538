"""Markers in an answer and what stands behind them: checked against the passages, removed where they point to nothing.

Whether a passage supports a statement is judged by the words they share: names count double, and a statement in
Korean over an English passage is judged by its names alone, or not at all where it has none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mundap.answers.events import Citation
from mundap.answers.evidence import Evidence, Part
from mundap.answers.language import language_of
from mundap.answers.markup import MARKER, masked_code, outside_code, statements, units, without_code
from mundap.retrieval.lexical import QUESTION_WORDS, analyse, query_terms

SUPPORTED_SHARE = 0.5
QUOTE_CHARACTERS = 300
_SPACED_MARKER = re.compile(r"(?<![ \t])([ \t]*)" + MARKER.pattern)
_SIGN = re.compile(r"[`~\[\n]")  # without one, text only goes on with what it goes on from
_UNSETTLED = re.compile(r"\[[\d,\s]*$|`[^`\n]*$")
_NAME = re.compile(r"[a-z0-9][_.][a-z]|[a-z][A-Z]|^[A-Z_]{3,}$|^--|\(\)$")


def check(text: str, evidence: Sequence[Evidence]) -> tuple[str, tuple[Citation, ...]]:
    """Return the text with only markers that point to something, and a citation for each number in it."""
    by_number = {one.number: one for one in evidence}
    clean = _clean(text, by_number).strip()
    cited = _statements_by_number(clean)
    citations = [_cite(by_number[number], said) for number, said in sorted(cited.items())]
    return clean, tuple(citations)


def verdicts(text: str, evidence: Sequence[Evidence]) -> list[bool | None]:
    """Return for each statement of a checked text and each number behind it whether the passage supports it."""
    by_number = {one.number: one for one in evidence}
    return [
        is_supported(statement, by_number[number].text)
        for number, said in _statements_by_number(text).items()
        for statement in said
    ]


def _statements_by_number(text: str) -> dict[int, list[str]]:
    """Return the statements behind each number, without their markers."""
    cited: dict[int, list[str]] = {}
    for statement in statements(text):
        for number in _numbers(statement):
            cited.setdefault(number, []).append(outside_code(statement, _without_markers))
    return cited


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


def is_supported(statement: str, passage: str) -> bool | None:
    """Return whether the passage's words carry the statement; None where words cannot tell."""
    is_translated = language_of(statement) != language_of(passage)
    weights: dict[str, int] = {}
    for term in analyse(statement):
        is_name = bool(_NAME.search(term.surface))
        if term.surface.lower() in QUESTION_WORDS or (is_translated and not is_name):
            continue
        weights[term.text] = 2 if is_name else 1
    if not weights:
        return None
    there = {term.text for term in analyse(passage)}
    return sum(w for text, w in weights.items() if text in there) >= SUPPORTED_SHARE * sum(
        weights.values()
    )


def _numbers(statement: str) -> list[int]:
    """Return the numbers of its markers; by now each stands alone and leads somewhere."""
    return [int(number) for number in MARKER.findall(without_code(statement))]


def _without_markers(prose: str) -> str:
    return MARKER.sub("", prose)


def _clean(text: str, by_number: dict[int, Evidence]) -> str:
    if "[" not in text:
        return text

    def known(match: re.Match[str]) -> str:
        numbers = [n for n in map(int, match.group(2).split(",")) if n in by_number]
        return match.group(1) + "".join(f"[{n}]" for n in numbers) if numbers else ""

    return outside_code(text, lambda prose: _SPACED_MARKER.sub(known, prose))


def _cite(one: Evidence, said: Sequence[str]) -> Citation:
    verdicts = [is_supported(statement, one.text) for statement in said]
    supported = False if False in verdicts else (True if True in verdicts else None)
    part, quote = _best_quote(one, " ".join(said))
    return _citation(one, part, quote, supported=supported)


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


def _citation(one: Evidence, part: Part, quote: str, *, supported: bool | None) -> Citation:
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
    )
