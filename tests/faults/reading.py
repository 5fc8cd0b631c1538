"""A turn's stream as one reader takes it, over any number of connections."""

from __future__ import annotations

import json
import time
from typing import Any

MARK_SECONDS = 0.5


class Reading:
    """What a reader has of a turn: the deltas, what is shown, and where to go on.

    `marks` are moments and how many characters had been told by then, so that it can be judged what must be stored of
    an answer whose process was killed.
    """

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.told = ""
        self.final: str | None = None
        self.state = ""
        self.last_event_id = ""  # of the last event that was taken
        self.is_ended = False
        self.acked = 0.0
        self.marks: list[tuple[float, int]] = []
        self._parts: list[str] = []
        self._event_id = ""  # of the event that is being read

    @property
    def turn(self) -> str:
        """The turn's id, once it is known."""
        return self.names.get("turn", "")

    @property
    def shown(self) -> str:
        """The text as a page shows it."""
        return self.told if self.final is None else self.final

    def take(self, line: str) -> bool:
        """Take a line of the stream; tell whether it was the last."""
        if line.startswith("id: "):
            self._event_id = line[4:]
        elif line == "data: [DONE]":
            # An end without the part that says so would be no end.
            self.is_ended = self._parts[-1:] == ["finish"]
            return True
        elif line.startswith("data: "):
            self._take_part(json.loads(line[6:]))
            self.last_event_id = self._event_id
        return False

    def _take_part(self, part: dict[str, Any]) -> None:
        self._parts.append(part["type"])
        match part["type"]:
            case "start":
                names = part["messageMetadata"]
                self.names = {
                    "turn": names["turn"],
                    "chat": names["chat"],
                    "message": part["messageId"],
                }
                self.acked = self.acked or time.monotonic()
            case "text-delta":
                self.told += part["delta"]
                self._mark()
            case "data-final":
                self.final = part["data"]["text"]
            case "message-metadata":
                self.state = part["messageMetadata"]["status"]

    def _mark(self) -> None:
        now = time.monotonic()
        if not self.marks or now - self.marks[-1][0] >= MARK_SECONDS:
            self.marks.append((round(now, 2), len(self.told)))

    def record(self) -> dict[str, Any]:
        """Return it as it stands in the history."""
        names = {**self.names, "acked": self.acked} if self.names else {}
        told = {"told": self.told, "text": self.shown, "is_ended": self.is_ended}
        return {**names, **told, "state": self.state, "marks": self.marks}
