"""The weights by which it is judged whether there is support: fitted anew, with the rates that they give.

A logistic regression (Newton's method, a small penalty on the standardised weights; questions with and without an
answer weigh the same) over what search finds for the questions of a file; the constant is set where a given share of
those with an answer is refused. The rates are of tenfold cross-validation. Needs the questions' collections with their
vectors on the shelf of MUNDAP_HOME: `python bench/fit_support.py [bench/questions.jsonl]`. Prints JSON, to be copied
to `retrieval/support.py` by hand.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mundap.cli.runtime import started

REFUSED = 0.05  # of the questions with an answer; those of other people will be refused more often
PENALTY = 0.02
STEPS = 200
FOLDS = 10
REPETITIONS = 5

Numbers = npt.NDArray[np.float64]
Marks = npt.NDArray[np.bool_]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    questions = Path(__file__).parent / "questions.jsonl"
    parser.add_argument("questions", type=Path, nargs="?", default=questions)
    arguments = parser.parse_args()
    with started():
        features, has_answer = _found(arguments.questions)
    result = {
        "questions": len(has_answer),
        "with_vectors": _measured(features, has_answer),
        "by_words": _measured(features[:, 1:], has_answer),
    }
    print(json.dumps(result, indent=1))


def _found(path: Path) -> tuple[Numbers, Marks]:
    """Return the features of each question's first query, and whether it has an answer."""
    from mundap.library.models import Collection
    from mundap.retrieval.evaluation_questions import read_questions
    from mundap.retrieval.search import search
    from mundap.retrieval.support import features_of

    shelf = {one.slug: one for one in Collection.objects.all()}
    rows, marks = [], []
    for question in read_questions(path):
        found = search(shelf[question.corpus], [question.text], limit=5)
        if found.evidence:
            rows.append(features_of(found.evidence[0]))
            marks.append(bool(question.gold))
    return np.array(rows), np.array(marks)


def _measured(features: Numbers, has_answer: Marks) -> dict[str, object]:
    weights = _fitted(features, has_answer)
    scores = features @ weights[:-1] + weights[-1]
    weights[-1] -= np.quantile(scores[has_answer], REFUSED)
    rates = []
    for seed in range(REPETITIONS):
        fold = np.random.default_rng(seed).integers(0, FOLDS, len(has_answer))
        scores = np.zeros(len(has_answer))
        for number in range(FOLDS):
            rest = fold == number
            learnt = _fitted(features[~rest], has_answer[~rest])
            scores[rest] = features[rest] @ learnt[:-1] + learnt[-1]
        enough = np.quantile(scores[has_answer], REFUSED)
        rates.append([(scores[marks] < enough).mean() for marks in (has_answer, ~has_answer)])
    falsely, rightly = np.mean(rates, axis=0)
    return {
        "weights": weights.round(2).tolist(),
        "cross_validated": {
            "refused": round(float(rightly), 3),
            "falsely_refused": round(float(falsely), 3),
        },
    }


def _fitted(features: Numbers, has_answer: Marks) -> Numbers:
    """Return the weights and, last, the constant."""
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    inputs = np.column_stack([(features - mean) / spread, np.ones(len(features))])
    share = np.where(has_answer, 1 / has_answer.sum(), 1 / (~has_answer).sum()) / 2
    penalty = np.full(inputs.shape[1], PENALTY)
    penalty[-1] = 1e-6
    weights = np.zeros(inputs.shape[1])
    for _ in range(STEPS):
        likely = 1 / (1 + np.exp(-inputs @ weights))
        slope = inputs.T @ (share * (likely - has_answer)) + penalty * weights
        curve = (inputs.T * (share * likely * (1 - likely))) @ inputs + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        weights = weights - step
        if np.abs(step).max() < 1e-8:
            break
    plain = weights[:-1] / spread
    return np.append(plain, weights[-1] - (mean * plain).sum())


if __name__ == "__main__":
    main()
