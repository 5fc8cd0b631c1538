"""What an answer is made of while it arrives: Retrieved, Given, any number of TextDelta, Answered, in this order."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal
from uuid import UUID

from mundap.answers.evidence import Evidence
from mundap.retrieval.search import ScoredPassage


@dataclass(frozen=True, slots=True)
class HistoryMessage:
    """An earlier message of the conversation, oldest first in a list."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Earlier:
    """An answer that ended early: its text, and what it was made from, numbered as its markers are."""

    text: str
    queries: tuple[str, ...]
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class Citation:
    """What a marker `[number]` in the text stands for.

    `start` and `end` are characters of the document's text; `content_hash` is the passage's when it was quoted, so
    that a later change of the source can be told. `supported` is None where it was not judged; `doubted` are the
    statements with this marker that it does not support.
    """

    number: int
    passage: UUID
    document: str
    path: str
    headings: tuple[str, ...]
    url: str
    quote: str
    supported: bool | None
    start: int
    end: int
    content_hash: str
    doubted: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it as stored in a message row."""
        lists = {"headings": list(self.headings), "doubted": list(self.doubted)}
        return asdict(self) | {"passage": str(self.passage)} | lists


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The search is done: the queries used and the passages given to the answer."""

    queries: tuple[str, ...]
    passages: tuple[ScoredPassage, ...]


@dataclass(frozen=True, slots=True)
class Given:
    """What the answer is made from: its markers are these numbers, also where it ends before it is Answered."""

    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Some more text, as it comes from the model; markers in it are not checked yet."""

    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The final text, which may differ from the deltas: markers that point to nothing are gone.

    `is_answered` is False where the documents do not say it. `usage` is the model's token counts, empty without one.
    """

    text: str
    citations: tuple[Citation, ...]
    is_answered: bool
    language: str
    usage: dict[str, int] = field(default_factory=dict)


AnswerEvent = Retrieved | Given | TextDelta | Answered
