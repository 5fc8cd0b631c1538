"""Where a model goes on with an answer that broke off: joined so that nothing stands there twice or runs together.

The text may end within a word or behind one, and no endpoint says which. So the model is asked to begin with the last
word once more; what it repeats, that word or more, is dropped.
"""

from __future__ import annotations

import re

WORD_CHARACTERS = 40  # of a last "word": some scripts have no spaces
_BLOCK = re.compile(r"```|~~~|[-*•] |\d+[.)] ")
_TELLING_CHARACTERS = 4  # that tell a block from a sentence
_CLOSING = tuple(".,;:!?)]}…。")
_OPENING = tuple("([{")


def last_word(text: str) -> str:
    """Return what stands behind the last white space of the text."""
    words = text.split()
    return words[-1][-WORD_CHARACTERS:] if words else ""


class Seam:
    """What a reply adds to `text`, piece by piece; without a text that is the reply itself."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._reply = ""
        self._is_joined = not text
        # Where the reply's beginning may stand in the text already.
        self._places = [match.start() for match in re.finditer(r"\S+", text)]
        if text:
            self._places.append(len(text) - len(last_word(text)))

    def add(self, piece: str) -> str:
        """Return what the text gains; nothing as long as the reply may only be repeating it."""
        if self._is_joined:
            return piece
        self._reply += piece
        reply, size = self._reply.lstrip(), len(self._text)
        self._places = [
            place for place in self._places if self._text.startswith(reply[: size - place], place)
        ]
        is_too_short = len(reply) < _TELLING_CHARACTERS
        if is_too_short or any(size - place > len(reply) for place in self._places):
            return ""
        return self.end()

    def end(self) -> str:
        """Return what the text still gains when no more comes."""
        if self._is_joined:
            return ""
        self._is_joined = True
        reply = self._reply.lstrip()
        repeated = [len(self._text) - place for place in self._places]
        whole = [count for count in repeated if count <= len(reply)]
        if whole:
            return reply[max(whole) :]
        return self._space() + reply

    def _space(self) -> str:
        """Return what stands between the text and a reply that repeats nothing of it."""
        reply = self._reply.lstrip()
        space = self._reply[: len(self._reply) - len(reply)]
        if space or not reply or reply.startswith(_CLOSING) or self._text.endswith(_OPENING):
            return space
        return "\n" if _BLOCK.match(reply) else " "
