"""The retrieval of the design that this product grew out of, beside ours, over the same documents and questions.

The original: 2,000-character chunks, their vectors in FAISS, BM25 over words between white space, both lists joined by
weighted reciprocal ranks (0.3 and 0.7, as LangChain's EnsembleRetriever does). FAISS's flat index is an exact inner
product, so numpy's gives the same order; BM25 is rank_bm25's BM25Okapi; vectors come from the same embedding model. A
chunk counts as right when it overlaps any passage of a gold section, which is generous: it is thrice as long as a
passage of ours. In "strict" only the passage counts that fills most of it.

Uses the shelf of MUNDAP_HOME: `python bench/original_retrieval.py ../shared/eval/dev.jsonl [--cache FILE]`. The chunks'
vectors take minutes; --cache keeps them. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from mundap.cli.runtime import started

if TYPE_CHECKING:
    from mundap.library.models import Collection
    from mundap.retrieval.evaluation_questions import Place, Question

CHUNK_CHARACTERS = 2_000
DENSE_WEIGHT, LEXICAL_WEIGHT = 0.3, 0.7
RANK_CONSTANT = 60  # of reciprocal ranks
LIST = 50  # of each retriever; its default of 4 would allow no recall@10
BATCH = 32
K1, B, EPSILON = 1.5, 0.75, 0.25  # BM25Okapi's

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document, and the places that it overlaps."""

    text: str
    places: frozenset[Place]
    main: frozenset[Place]  # of the passage that fills most of it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("questions", type=Path)
    parser.add_argument("--cache", type=Path, help="an .npz of the chunks' vectors")
    arguments = parser.parse_args()
    with started():
        from mundap.library.models import Collection
        from mundap.retrieval.evaluation import evaluate
        from mundap.retrieval.evaluation_questions import read_questions

        questions = read_questions(arguments.questions)
        slugs = {question.corpus for question in questions}
        shelf = {
            one.slug: Original(one, arguments.cache)
            for one in Collection.objects.filter(slug__in=slugs)
        }
        print("ours …", file=sys.stderr)
        ours = evaluate(questions, k=5)
        result = {
            "chunks": {slug: len(one.chunks) for slug, one in shelf.items()},
            "original": _measure(questions, shelf, "both"),
            "original_strict": _measure(questions, shelf, "both", is_strict=True),
            "original_parts": {
                f"{way}{', strict' if is_strict else ''}": _measure(
                    questions, shelf, way, is_strict=is_strict
                )[:2]
                for way in ("dense", "lexical")
                for is_strict in (False, True)
            },
            "ours": _pooled(ours["groups"]) + ours["groups"],
        }
    print(json.dumps(result, indent=1, ensure_ascii=False))


class Original:
    """One collection as the original would have it."""

    def __init__(self, collection: Collection, cache: Path | None) -> None:
        self.chunks = _chunks_of(collection)
        self.vectors = _vectors_of(collection.slug, self.chunks, cache)
        self.lexical = WhitespaceBM25([chunk.text for chunk in self.chunks])

    def search(self, query: str, way: str) -> list[Chunk]:
        """Return the best chunks by `way`: dense, lexical or both."""
        from mundap.retrieval.embeddings import embed

        lists = {
            "dense": _best(self.vectors @ np.array(embed([query])[0], np.float32)),
            "lexical": _best(self.lexical.scores(query)),
        }
        if way != "both":
            return [self.chunks[place] for place in lists[way]]
        fused: defaultdict[int, float] = defaultdict(float)
        for name, weight in (("dense", DENSE_WEIGHT), ("lexical", LEXICAL_WEIGHT)):
            for rank, place in enumerate(lists[name], 1):
                fused[place] += weight / (rank + RANK_CONSTANT)
        return [self.chunks[place] for place in sorted(fused, key=lambda place: -fused[place])]


class WhitespaceBM25:
    """BM25Okapi over words between white space."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [Counter(text.split()) for text in texts]
        lengths = np.array([sum(count.values()) for count in counts], float)
        self._norm = K1 * (1 - B + B * lengths / lengths.mean())
        postings: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for place, count in enumerate(counts):
            for word, times in count.items():
                postings[word].append((place, times))
        self._postings = {word: np.array(rows).T for word, rows in postings.items()}
        raw = {
            word: math.log((len(texts) - len(rows) + 0.5) / (len(rows) + 0.5))
            for word, rows in postings.items()
        }
        floor = EPSILON * sum(raw.values()) / len(raw)
        self._idf = {word: idf if idf >= 0 else floor for word, idf in raw.items()}

    def scores(self, query: str) -> npt.NDArray[np.float64]:
        """Return each text's score."""
        scores = np.zeros(len(self._norm))
        for word in query.split():
            if word in self._postings:
                places, times = self._postings[word]
                gains = times * (K1 + 1) / (times + self._norm[places])
                scores[places] += self._idf[word] * gains
        return scores


def _best(scores: npt.NDArray[Any]) -> list[int]:
    order = np.argsort(-scores, kind="stable")[:LIST]
    return [int(place) for place in order]


def _chunks_of(collection: Collection) -> list[Chunk]:
    from mundap.library.models import Passage
    from mundap.retrieval.evaluation import plain_heading

    passages = defaultdict(list)
    rows = Passage.objects.filter(collection=collection)
    for document, start, end, headings in rows.values_list(
        "document_id", "start", "end", "headings"
    ):
        passages[document].append((start, end, [plain_heading(heading) for heading in headings]))
    chunks = []
    for document in collection.documents.iterator():
        for start, end in _pieces(document.text):
            inside = [
                (min(last, end) - max(first, start), {(document.path, one) for one in headings})
                for first, last, headings in passages[document.pk]
                if first < end and start < last
            ]
            places = frozenset().union(*(some for _, some in inside))
            _, most = max(inside, key=lambda one: one[0], default=(0, set()))
            chunks.append(Chunk(document.text[start:end], places, frozenset(most)))
    return [chunk for chunk in chunks if chunk.text.strip()]


def _pieces(text: str) -> list[tuple[int, int]]:
    """Return the ranges of pieces, cut at the last paragraph, line or word that fits, as a recursive splitter does."""
    pieces, start = [], 0
    while start < len(text):
        end = min(start + CHUNK_CHARACTERS, len(text))
        if end < len(text):
            for separator in ("\n\n", "\n", " "):
                found = text.rfind(separator, start + 1, end)
                if found > start:
                    end = found
                    break
        pieces.append((start, end))
        start = end
    return pieces


def _vectors_of(slug: str, chunks: Sequence[Chunk], cache: Path | None) -> Vectors:
    from mundap.retrieval.embeddings import embed

    kept = dict(np.load(cache)) if cache and cache.exists() else {}
    if slug in kept and len(kept[slug]) == len(chunks):
        return np.array(kept[slug], np.float32)
    vectors: list[list[float]] = []
    for begin in tqdm(range(0, len(chunks), BATCH), desc=slug, disable=None):
        vectors += embed([chunk.text for chunk in chunks[begin : begin + BATCH]])
    kept[slug] = np.array(vectors, np.float32)
    if cache:
        np.savez(cache, **kept)
    return np.array(kept[slug], np.float32)


def _measure(
    questions: Sequence[Question], shelf: dict[str, Original], way: str, *, is_strict: bool = False
) -> list[dict[str, Any]]:
    from mundap.retrieval.evaluation import DEPTH, measures_of, plain_heading

    ranks: defaultdict[tuple[str, str], list[tuple[int | None, ...]]] = defaultdict(list)
    for question in questions:
        if question.gold and question.corpus in shelf:
            best = shelf[question.corpus].search(question.text, way)[:DEPTH]
            held = [chunk.main if is_strict else chunk.places for chunk in best]
            golds = [(path, plain_heading(heading)) for path, heading in question.gold]
            found = (
                next((rank for rank, places in enumerate(held, 1) if gold in places), None)
                for gold in golds
            )
            ranks[question.corpus, question.lang].append(tuple(found))
    groups = []
    for (corpus, lang), some in sorted(ranks.items()):
        each = measures_of(some)
        means = {name: round(float(np.mean([one[name] for one in each])), 4) for name in each[0]}
        groups.append({"corpus": corpus, "lang": lang, "n": len(some), **means})
    return _pooled(groups) + groups


def _pooled(groups: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the means over all collections, by language."""
    pooled = []
    for lang in sorted({group["lang"] for group in groups}):
        some = [group for group in groups if group["lang"] == lang]
        count = sum(group["n"] for group in some)
        names = [name for name in some[0] if "@" in name]
        means = {
            name: round(sum(one[name] * one["n"] for one in some) / count, 4) for name in names
        }
        pooled.append({"corpus": "all", "lang": lang, "n": count, **means})
    return pooled


if __name__ == "__main__":
    main()
