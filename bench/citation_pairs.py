"""How often it is rightly said that a passage does not support a statement that cites it.

Over the pairs of `tests/answers/data/citation_pairs.json`, right ones and near misses, and over each right statement
with two other passages (a wrong number behind it). The thresholds are also chosen anew with each passage left out in
turn and judged on that passage (cross-validation). Needs no database; starts the local embedding server. Prints JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mundap.embedded import supervisor

PAIRS = Path(__file__).parent.parent / "tests/answers/data/citation_pairs.json"
ELSEWHERE = (1, 4)  # of ten passages: so many further on
GRIDS = {
    "SUPPORTED_SHARE": [0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
    "SAME_CLAUSE": [0.6, 0.65, 0.7, 0.75, 0.8, 0.9],
    "SAME_MEANING": [0.16, 0.2, 0.24, 0.28, 0.32],
}


def main() -> None:
    home = Path(tempfile.mkdtemp(prefix="mundap-bench-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        parts = supervisor.running(home, postgres=False, valkey=False, embeddings=True)
        endpoints = stack.enter_context(parts)
        os.environ |= {
            "MUNDAP_EMBEDDING_BASE_URL": endpoints.embedding_url or "",
            "MUNDAP_EMBEDDING_API_KEY": endpoints.embedding_key or "",
            "SECRET_KEY": "only-for-the-benchmark-0123456789-abcdefghijklmnopqrstuvwxyz",
            "DJANGO_SETTINGS_MODULE": "mundap.config.settings",
        }
        import django

        django.setup()
        pairs = _pairs()
        begun = time.perf_counter()
        by_words = _verdicts(pairs, by_meaning=False)
        milliseconds = (time.perf_counter() - begun) * 1000 / len(pairs)
        everything = _verdicts(pairs, by_meaning=True)
        result = {
            "pairs": len(pairs),
            "milliseconds_a_statement": round(milliseconds, 2),
            "by_words": _rates(pairs, by_words),
            "by_words_and_meaning": _rates(pairs, everything),
            "marked_by_kind": _by_kind(pairs, everything),
            "cross_validated": {name: _cross_validated(pairs, name) for name in GRIDS},
        }
    print(json.dumps(result, indent=1, ensure_ascii=False))


def _pairs() -> list[dict[str, Any]]:
    data = json.loads(PAIRS.read_text(encoding="utf-8"))
    keys = list(data["passages"])
    pairs = [dict(pair) for pair in data["pairs"]]
    for pair in data["pairs"]:
        if pair["supported"]:
            place = keys.index(pair["passage"])
            pairs += [
                pair
                | {
                    "passage": keys[(place + further) % len(keys)],
                    "supported": False,
                    "kind": "elsewhere",
                }
                for further in ELSEWHERE
            ]
    return [pair | {"text": data["passages"][pair["passage"]]} for pair in pairs]


def _verdicts(pairs: Sequence[dict[str, Any]], *, by_meaning: bool) -> list[bool | None]:
    from mundap.answers.judgement import judge

    # One by one, as an answer's statements would be; a long list is not embedded at all.
    return [judge([(one["statement"], one["text"])], by_meaning=by_meaning)[0] for one in pairs]


def _rates(pairs: Sequence[dict[str, Any]], verdicts: Sequence[bool | None]) -> dict[str, Any]:
    """Return by language, near misses and all: of the marked how many are wrong, of the wrong how many are marked."""
    found = {}
    for name, is_in in _GROUPS.items():
        rows = [(one, said) for one, said in zip(pairs, verdicts, strict=True) if is_in(one)]
        marked = [one for one, said in rows if said is False]
        wrong = [one for one, _ in rows if not one["supported"]]
        caught = sum(not one["supported"] for one in marked)
        found[name] = {
            "right": len(rows) - len(wrong),
            "wrong": len(wrong),
            "precision": round(caught / len(marked), 3) if marked else None,
            "recall": round(caught / len(wrong), 3),
            "right_marked": len(marked) - caught,
            "not_judged": sum(said is None for _, said in rows),
        }
    return found


_GROUPS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "en near misses": lambda one: one["lang"] == "en" and one["kind"] != "elsewhere",
    "ko near misses": lambda one: one["lang"] == "ko" and one["kind"] != "elsewhere",
    "en elsewhere": lambda one: one["lang"] == "en" and one["kind"] in {"right", "elsewhere"},
    "ko elsewhere": lambda one: one["lang"] == "ko" and one["kind"] in {"right", "elsewhere"},
    "all": lambda _: True,
}


def _by_kind(pairs: Sequence[dict[str, Any]], verdicts: Sequence[bool | None]) -> dict[str, str]:
    every = Counter(f"{one['lang']} {one['kind']}" for one in pairs)
    marked = Counter(
        f"{one['lang']} {one['kind']}"
        for one, said in zip(pairs, verdicts, strict=True)
        if said is False
    )
    return {kind: f"{marked[kind]} of {count}" for kind, count in sorted(every.items())}


def _cross_validated(pairs: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """Choose one threshold on all passages but one, judge that one with it, and so on."""
    from mundap.answers import judgement

    used = getattr(judgement, name)
    by_value = {}
    for value in GRIDS[name]:
        setattr(judgement, name, value)
        by_value[value] = _verdicts(pairs, by_meaning=name == "SAME_MEANING")
    setattr(judgement, name, used)
    held_out: list[bool | None] = [None] * len(pairs)
    chosen = []
    for passage in dict.fromkeys(one["passage"] for one in pairs):
        others = [place for place, one in enumerate(pairs) if one["passage"] != passage]
        best = max(GRIDS[name], key=lambda value: _balanced(pairs, by_value[value], others))
        chosen.append(best)
        for place, one in enumerate(pairs):
            if one["passage"] == passage:
                held_out[place] = by_value[best][place]
    everything = range(len(pairs))
    return {
        "used": used,
        "chosen": dict(Counter(chosen)),
        "balanced_accuracy_held_out": round(_balanced(pairs, held_out, everything), 3),
        "balanced_accuracy_by_value": {
            value: round(_balanced(pairs, by_value[value], everything), 3) for value in GRIDS[name]
        },
    }


def _balanced(
    pairs: Sequence[dict[str, Any]], verdicts: Sequence[bool | None], places: Sequence[int] | range
) -> float:
    """Return the mean of: wrong ones that are marked, right ones that are not."""
    wrong = [verdicts[place] is False for place in places if not pairs[place]["supported"]]
    right = [verdicts[place] is not False for place in places if pairs[place]["supported"]]
    return (sum(wrong) / len(wrong) + sum(right) / len(right)) / 2


if __name__ == "__main__":
    main()
