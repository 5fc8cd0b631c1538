"""Files of questions whose answering sections are known: one as JSON on each line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mundap.errors import InvalidInput

Place = tuple[str, str]
"""A document's path and a heading."""


@dataclass(frozen=True, slots=True)
class Question:
    """One line of the file; `gold` has the sections that answer, none where nothing does.

    `history` has role and text of what was said before, oldest first.
    """

    id: str
    corpus: str
    lang: str
    text: str
    history: tuple[tuple[str, str], ...]
    gold: tuple[Place, ...]

    @property
    def said(self) -> tuple[str, ...]:
        """What the person asked before."""
        return tuple(text for role, text in self.history if role == "user")


def read_questions(path: Path) -> list[Question]:
    """Return the file's questions. Raises InvalidInput, naming the line that is wrong."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as exc:
        raise InvalidInput(f"{path} cannot be read: {exc.strerror}.") from exc
    except UnicodeDecodeError as exc:
        raise InvalidInput(f"{path} is not UTF-8 text.") from exc
    questions = [
        _question(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()
    ]
    if not questions:
        raise InvalidInput(f"{path} has no questions.")
    return questions


def digest_of(path: Path) -> str:
    """Return the SHA-256 of the file: runs of the same questions have the same."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _question(line: str, place: str) -> Question:
    try:
        fields: Mapping[str, Any] = json.loads(line)
        question = Question(
            id=str(fields["id"]),
            corpus=str(fields["corpus"]),
            lang=str(fields["lang"]),
            text=str(fields["question"]),
            history=tuple(
                (str(one["role"]), str(one["content"])) for one in fields.get("history") or ()
            ),
            gold=tuple((str(one["path"]), str(one["heading"])) for one in fields.get("gold") or ()),
        )
    except KeyError as exc:
        raise InvalidInput(f"{place}: the field {exc} is missing.") from exc
    except (ValueError, TypeError, AttributeError) as exc:
        raise InvalidInput(f"{place}: this is not a question as eval files have it: {exc}") from exc
    if not question.text.strip():
        raise InvalidInput(f"{place}: the question is empty.")
    return question
