"""Questions that the documents did not answer, put together by meaning, so that one sees what is missing.

Nobody learns here who asked. What its owner has deleted is not among them, nor a question that was answered since.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
import numpy.typing as npt
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.utils import timezone

from mundap.chats.models import DealtWith, State, Turn
from mundap.errors import ModelError
from mundap.library.models import Collection
from mundap.retrieval.embeddings import embed_questions, embedding_model, has_embeddings
from mundap.retrieval.lexical import QUESTION_WORDS, analyse

MOST_QUESTIONS = 300  # the newest: they are compared each with each
WORDINGS = 5  # shown of a group
# Models differ in how near they see two texts that have nothing in common: these tell where nothing is.
_EVERYDAY = (
    "What shall we have for dinner?",
    "My neighbour's dog was barking all night.",
    "오늘 저녁에 비가 올까요?",
    "우리 할머니는 꽃을 좋아하신다.",
)
_NEAR = 0.6  # of the way from there to the same text
# Of the rarity of two questions' words, for installations without a model of meaning.
_SHARED_WORDS = 0.5

_logger = logging.getLogger(__name__)
_Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that was not answered, its message, and when."""

    text: str
    at: datetime
    message: UUID


@dataclass(slots=True)
class Topic:
    """Questions that ask for the same; `wordings` begins with the one that was asked most."""

    wordings: list[str]
    messages: list[UUID]
    last_at: datetime
    more: int = field(default=0)

    @property
    def count(self) -> int:
        """How many questions these are."""
        return len(self.messages)


def count_unanswered(collections: QuerySet[Collection], *, days: int) -> dict[UUID, int]:
    """Return by collection how many questions of the last days are open; those without any are left out."""
    rows = _turns(days=days, is_dealt_with=False).filter(
        chat__collection__in=collections.order_by()
    )
    counted = rows.values("chat__collection").annotate(number=Count("question", distinct=True))
    return dict(counted.values_list("chat__collection", "number"))


def list_unanswered(
    collection: Collection, *, days: int, is_dealt_with: bool = False
) -> list[Asked]:
    """Return the newest questions of the last days that were not answered, newest first: open ones, or the others."""
    rows = _turns(days=days, is_dealt_with=is_dealt_with).filter(chat__collection=collection)
    rows = rows.order_by("-finished_at")
    found = rows.values_list("question", "question__text", "finished_at")[:MOST_QUESTIONS]
    by_question = {question: (text, at) for question, text, at in found}
    return [Asked(text, at, pk) for pk, (text, at) in by_question.items() if text and at]


def topics_of(asked: Sequence[Asked]) -> list[Topic]:
    """Return the questions grouped by what they ask for, those asked most first."""
    by_wording: dict[str, list[Asked]] = {}
    for one in asked:
        by_wording.setdefault(_plain(one.text), []).append(one)
    wordings = sorted(by_wording.values(), key=lambda same: (len(same), same[0].at), reverse=True)
    near = _nearness([same[0].text for same in wordings])
    leaders: list[int] = []
    members: dict[int, list[int]] = {}
    for place in range(len(wordings)):
        nearest = max(leaders, key=lambda leader: near[leader, place], default=None)
        if nearest is None or near[nearest, place] < 1:
            leaders.append(place)
            nearest = place
        members.setdefault(nearest, []).append(place)
    topics = [_topic([wordings[place] for place in places]) for places in members.values()]
    return sorted(topics, key=lambda topic: (topic.count, topic.last_at), reverse=True)


def _turns(*, days: int, is_dealt_with: bool) -> QuerySet[Turn]:
    # What was asked again after somebody looked after it, is open again.
    dealt_with = DealtWith.objects.filter(
        message=OuterRef("question"), at__gte=OuterRef("finished_at")
    )
    return Turn.objects.filter(
        Exists(dealt_with) if is_dealt_with else ~Exists(dealt_with),
        retrieval__is_answered=False,
        status=State.COMPLETE,
        finished_at__gte=timezone.now() - timedelta(days=days),
        chat__deleted_at=None,
        question__isnull=False,
        answer__is_current=True,
    )


def _topic(same: Sequence[Sequence[Asked]]) -> Topic:
    return Topic(
        wordings=[asked[0].text for asked in same[:WORDINGS]],
        messages=[one.message for asked in same for one in asked],
        last_at=max(one.at for asked in same for one in asked),
        more=max(len(same) - WORDINGS, 0),
    )


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).rstrip("?!. ")


def _nearness(texts: Sequence[str]) -> _Matrix:
    """Return how near each two texts are; from 1 on they ask for the same."""
    if has_embeddings() and len(texts) > 1:
        try:
            return _by_meaning(texts)
        except ModelError as exc:
            _logger.warning("Unanswered questions are grouped by their words alone: %s", exc)
    return _by_words(texts)


def _by_meaning(texts: Sequence[str]) -> _Matrix:
    vectors = np.array(embed_questions([*texts, *_EVERYDAY], model=embedding_model()))
    asked, everyday = vectors[: len(texts)], vectors[len(texts) :]
    nothing = float(np.median(asked @ everyday.T))
    near: _Matrix = (asked @ asked.T - nothing) / max((1 - nothing) * _NEAR, 1e-6)
    return near


def _by_words(texts: Sequence[str]) -> _Matrix:
    """Compare by shared words, each weighted by how rare it is among the questions."""
    terms = [frozenset(_terms(text)) for text in texts]
    seen = Counter(term for each in terms for term in each)
    words = {term: place for place, term in enumerate(seen)}
    weights = np.array([np.log(1 + len(texts) / number) for number in seen.values()])
    has = np.zeros((len(texts), len(words)))
    for row, each in enumerate(terms):
        has[row, [words[term] for term in each]] = 1
    shared = (has * weights) @ has.T
    own = np.diag(shared)
    both = np.maximum(own[:, None] + own[None, :], 1e-6)
    near: _Matrix = 2 * shared / both / _SHARED_WORDS  # Dice's coefficient
    return near


def _terms(text: str) -> Iterable[str]:
    return (term.text for term in analyse(text) if term.surface.lower() not in QUESTION_WORDS)
