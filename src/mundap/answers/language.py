"""The language of a question, and so of its answer."""

from __future__ import annotations

import re
from typing import Literal

Language = Literal["ko", "en"]

_HANGUL = re.compile(r"[\uac00-\ud7a3\u3131-\u318e]")
NAMES: dict[Language, str] = {"ko": "Korean", "en": "the language of the question"}


def language_of(text: str) -> Language:
    """Return "ko" for a text with any Hangul, else "en".

    Korean questions about software are often mostly Latin names; English ones hardly ever hold Hangul.
    """
    return "ko" if _HANGUL.search(text) else "en"
