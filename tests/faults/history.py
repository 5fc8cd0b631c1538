"""What a run did and saw: one JSON object a line, in the order in which things ended.

kind "run"     {seconds, seed}
kind "fault"   {name, start, end}; of a node also {node, pid}
kind "op"      {session, user, op, start, end, status, chat …}: one request; `status` 0 means that no reply came
kind "body"    {digest, chat, title, messages}: a chat as it was shown, written once for each digest
kind "stored"  {chat, owner, deleted, next_position, title, messages, former}: a chat in PostgreSQL after the run, and
               its messages that are not current
kind "turn"    {turn, chat, owner, key, status, question, answer, state, text, pid, error, stop_seconds}: a turn in
               PostgreSQL after the run, with its answer's state and text, the process that ran it, and how long after
               it was asked to stop it ended
kind "answers" {token, count}: how often the model has begun to answer a question
kind "left"    {what, count, bound}: what there must not be more of after the run, such as connections
kind "metrics" {node, counts}: what a node has counted of the cache

Times are seconds of one monotonic clock, so that a wall clock that jumps changes nothing. A message is
[position, id, role, state, token, digest of its text, comment of its rating]; the token is the unique name of the
question (`q-<user>-<number>`), which its answer repeats.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Record = dict[str, Any]
_TOKEN = re.compile(r"q-[a-z0-9]+-[a-z0-9]+")


class History:
    """The file that a run writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.operations = self.faults = 0
        self._file = path.open("w", encoding="utf-8")
        self._bodies: set[str] = set()

    def add(self, kind: str, **values: Any) -> None:
        """Write one record."""
        self.operations += kind == "op"
        self.faults += kind == "fault"
        json.dump({"kind": kind} | values, self._file, ensure_ascii=False, separators=(",", ":"))
        self._file.write("\n")

    def add_body(self, content: bytes, **values: Any) -> str:
        """Write what a body shows unless it was seen before; return its digest."""
        digest = hashlib.blake2b(content, digest_size=12).hexdigest()
        if digest not in self._bodies:
            self._bodies.add(digest)
            self.add("body", digest=digest, **values)
        return digest

    def flush(self) -> None:
        """Let others read what was written."""
        self._file.flush()

    def close(self) -> None:
        """Write what is left."""
        self._file.close()


def read_history(path: Path) -> Iterator[Record]:
    """Yield the records of a file."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def shown_message(message: Record) -> list[Any]:
    """Return a message of the API as it is recorded."""
    feedback = message.get("feedback") or {}
    return [
        message["position"],
        message["id"],
        message["role"],
        message["state"],
        token_of(message["text"]),
        digest_of(message["text"]),
        feedback.get("comment", ""),
    ]


def shown_log(log: list[Record]) -> list[list[Any]]:
    """Return the classic log as it is recorded: it has no ids and no states."""
    shown = []
    for entry in log:
        role = "user" if "USER" in entry else "assistant" if "AI" in entry else ""
        if role:
            text = entry["USER" if role == "user" else "AI"]
            number = entry["id_user" if role == "user" else "id_ai"]
            position = 2 * (number - 1) + (role == "assistant")
            shown.append([position, None, role, None, token_of(text), digest_of(text), None])
    return shown


def token_of(text: str) -> str | None:
    """Return the question's unique name in its text or its answer's."""
    found = _TOKEN.search(text)
    return found.group() if found else None


def digest_of(text: str) -> str:
    """Return a short digest of a text."""
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
