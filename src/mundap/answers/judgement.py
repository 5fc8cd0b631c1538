"""Whether a passage carries a statement that cites it.

By words: the statement's words must be there for the most part; the names of code and the numbers in it must all be
there; and no clause of the passage may say the same with a "not" more or less. A statement in Korean over an English
passage has only its names and numbers in common with it; where it has none, meaning decides. docs/retrieval.md has the
rates, measured on right statements and near misses.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from mundap.answers.language import language_of
from mundap.answers.markup import units
from mundap.errors import ModelError
from mundap.retrieval.embeddings import QUESTION_SECONDS, embed, has_embeddings, is_local_model
from mundap.retrieval.lexical import QUESTION_WORDS, analyse

SUPPORTED_SHARE = 0.5  # of the words, names counting double
SAME_CLAUSE = 0.75  # Dice coefficient from which a clause says the same, but for a "not"
# Cosine of a Korean and an English sentence by the local model; 0.59 is its highest.
SAME_MEANING = 0.2
MAX_EMBEDDED_CHARACTERS = 7_000

_NAME = re.compile(r"[a-z0-9][_.][a-z]|[a-z][A-Z]|^[A-Z_]{3,}$|^--|\(\)$")
_CODE = re.compile(r"`([^`\n]+)`")
# `name`, `name()`, `name=value`, `--option`: what is called so must be there; a longer piece of code may be an example.
_NAME_IN_CODE = re.compile(r"(--?[\w-]+|[A-Za-z_][\w.]*)(?:\(.*\))?(?:=.*)?")
_IDENTIFIER = re.compile(r"--[a-z][\w-]+|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?:\(\))?")
_IS_SHAPED = re.compile(r"_|[a-z0-9]\.[a-z]|[a-z][A-Z]|^--|\(\)$")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?(?![A-Za-z_]\w)")
_NUMBER_WORDS = {
    "two": 2.0,
    "three": 3.0,
    "four": 4.0,
    "five": 5.0,
    "six": 6.0,
    "seven": 7.0,
    "eight": 8.0,
    "nine": 9.0,
    "ten": 10.0,
    "twelve": 12.0,
    "twenty": 20.0,
    "thirty": 30.0,
    "hundred": 100.0,
}
# The same time or size in another unit is the same number.
_UNITS = (1, 7, 24, 60, 1_000, 1_024, 1_440, 3_600, 86_400, 604_800, 1_000_000, 1_048_576)
_NOT = re.compile(
    r"\b(?:not|never|no|cannot|without|neither|nor|none|nothing|nobody)\b|n['’]t\b", re.IGNORECASE
)
_CLAUSE = re.compile(
    r"[;:]|,(?=\s)|\b(?:and|but|because|so|unless|until|before|which|when|while|if)\b"
)

logger = logging.getLogger(__name__)


class _Passage:
    """A passage read once for all statements that cite it; each part when it is first asked for."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.language = language_of(text)

    @cached_property
    def terms(self) -> frozenset[str]:
        return frozenset(term.text for term in analyse(self.text))

    @cached_property
    def plain(self) -> str:
        return _plain(self.text)

    @cached_property
    def names(self) -> frozenset[str]:
        names = {_bare(match.group()) for match in _IDENTIFIER.finditer(self.text)}
        return frozenset(names | {part for name in names for part in name.split(".")})

    @cached_property
    def numbers(self) -> tuple[float, ...]:
        return tuple(_numbers(self.text, is_code=True))

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        return tuple(unit.text for unit in units(self.text) if unit.kind != "code")

    @cached_property
    def clauses(self) -> tuple[tuple[frozenset[str], bool], ...]:
        """The content of each sentence and clause, and whether it is denied."""
        found: list[tuple[frozenset[str], bool]] = []
        for sentence in self.sentences:
            clauses = [clause for clause in _CLAUSE.split(sentence) if clause.strip()]
            contents = [_content(clause) for clause in clauses]
            found += zip(contents, map(_is_negative, clauses), strict=True)
            found.append((frozenset().union(*contents), _is_negative(sentence)))
        return tuple(found)


def judge(pairs: Sequence[tuple[str, str]], *, by_meaning: bool = False) -> list[bool | None]:
    """Return for each statement and passage whether the one carries the other; None where nothing can tell.

    With `by_meaning` the embedding model is asked about statements of which words cannot tell.
    """
    passages = {text: _Passage(text) for _, text in pairs}
    verdicts = [_by_words(statement, passages[text]) for statement, text in pairs]
    unclear = [
        place
        for place, (statement, text) in enumerate(pairs)
        if verdicts[place] is None and language_of(statement) != passages[text].language
    ]
    if by_meaning and unclear:
        asked = [(pairs[place][0], passages[pairs[place][1]]) for place in unclear]
        for place, verdict in zip(unclear, _by_meaning(asked), strict=False):
            verdicts[place] = verdict
    return verdicts


def _by_words(statement: str, passage: _Passage) -> bool | None:
    if _plain(statement) and _plain(statement) in passage.plain:
        return True
    is_translated = language_of(statement) != passage.language
    if _has_missing_name(statement, passage) or _has_missing_number(statement, passage):
        return False
    share = _share_of_words(statement, passage, only_names=is_translated)
    if share is None:
        return True if _numbers(statement) else None
    return share >= SUPPORTED_SHARE and (is_translated or not _is_denied(statement, passage))


def _plain(text: str) -> str:
    return " ".join(text.split()).strip(" .>*-").lower()


def _share_of_words(statement: str, passage: _Passage, *, only_names: bool) -> float | None:
    """Return how much of the statement's words the passage has; None where it has none to look for."""
    weights: dict[str, int] = {}
    for term in analyse(statement):
        is_name = bool(_NAME.search(term.surface))
        if term.surface.lower() in QUESTION_WORDS or (only_names and not is_name):
            continue
        weights[term.text] = 2 if is_name else 1
    if not weights:
        return None
    return sum(w for text, w in weights.items() if text in passage.terms) / sum(weights.values())


def _has_missing_name(statement: str, passage: _Passage) -> bool:
    found = {match.group() for match in _IDENTIFIER.finditer(statement)}
    names = {_bare(name) for name in found if _IS_SHAPED.search(name)}
    for span in _CODE.findall(statement):
        if match := _NAME_IN_CODE.fullmatch(span.strip()):
            names.add(_bare(match.group(1)))
    return any(
        name not in passage.names and name.split(".")[-1] not in passage.names for name in names
    )


def _bare(name: str) -> str:
    return name.rstrip("()").lower()


def _has_missing_number(statement: str, passage: _Passage) -> bool:
    return any(
        not any(_is_same(number, one) for one in passage.numbers) for number in _numbers(statement)
    )


def _is_same(one: float, other: float) -> bool:
    return any(
        math.isclose(one, other * unit) or math.isclose(other, one * unit) for unit in _UNITS
    )


def _numbers(text: str, *, is_code: bool = False) -> list[float]:
    """Return the numbers of a text, also those in words from two on; those in code only if `is_code`."""
    prose = text if is_code else _CODE.sub(" ", text)
    written = [float(match.group().replace(",", "")) for match in _NUMBER.finditer(prose)]
    words = re.findall(r"[a-z]+", prose.lower())
    return written + [_NUMBER_WORDS[word] for word in words if word in _NUMBER_WORDS]


def _is_denied(statement: str, passage: _Passage) -> bool:
    """Whether a clause of the passage says the same with a "not" more or less, and none is more like it without."""
    said, is_negative = _content(statement), _is_negative(statement)
    likeness = {True: 0.0, False: 0.0}  # of the clauses that agree, and of those that do not
    for content, is_clause_negative in passage.clauses:
        agrees = is_clause_negative == is_negative
        likeness[agrees] = max(likeness[agrees], _dice(said, content))
    return likeness[False] >= SAME_CLAUSE and likeness[False] > likeness[True]


def _is_negative(text: str) -> bool:
    return len(_NOT.findall(text)) % 2 == 1


def _content(text: str) -> frozenset[str]:
    return frozenset(
        term.text
        for term in analyse(text)
        if term.surface.lower() not in QUESTION_WORDS and not _NOT.fullmatch(term.surface)
    )


def _dice(one: frozenset[str], other: frozenset[str]) -> float:
    return 2 * len(one & other) / (len(one) + len(other)) if one and other else 0.0


def _by_meaning(pairs: Sequence[tuple[str, _Passage]]) -> list[bool | None]:
    """Return the verdict of the nearest sentence; nothing for models whose scale of cosines is not known."""
    texts = list(
        dict.fromkeys(text for said, passage in pairs for text in (said, *passage.sentences))
    )
    if not (has_embeddings() and is_local_model()):
        return []
    if sum(map(len, texts)) > MAX_EMBEDDED_CHARACTERS:
        return []
    try:
        vectors = embed(texts, timeout_seconds=QUESTION_SECONDS, max_retries=0)
    except ModelError as error:
        logger.warning("Judging citations by words alone: %s", error.code)
        return []
    by_text = {text: np.array(vector) for text, vector in zip(texts, vectors, strict=True)}
    found: list[bool | None] = []
    for said, passage in pairs:
        cosines = [float(by_text[one] @ by_text[said]) for one in passage.sentences]
        found.append(max(cosines) >= SAME_MEANING if cosines else None)
    return found
