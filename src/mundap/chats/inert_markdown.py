"""Markdown that fetches nothing by itself, for files that are opened elsewhere.

Here an image in an answer is shown as text (`rendering.py`). In a downloaded file it would be fetched by whatever shows
the file, and its address could carry what was said to whoever wrote a document.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from markdown_it import MarkdownIt
from markdown_it.token import Token

_CODE = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,}).*?(?:^ {0,3}(?P=fence)[`~]*[ \t]*$|\Z)"
    r"|(?<!`)(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)",
    re.DOTALL | re.MULTILINE,
)
_IMAGE, _TAG = re.compile(r"!(?=\[)"), re.compile(r"<(?=[A-Za-z/!?])")
_FETCHING = {"image", "html_inline", "html_block"}


def inert(text: str) -> str:
    """Return the text with its images and tags as text; code stays as it is where that is safe."""
    if not _IMAGE.search(text) and not _TAG.search(text):
        return text
    parts, end = [], 0
    for code in _CODE.finditer(text):
        parts += [_escaped(text[end : code.start()]), code[0]]
        end = code.end()
    written = "".join([*parts, _escaped(text[end:])])
    # What is code is for a parser to say; where it sees it otherwise, nothing is taken for code.
    return _escaped(text) if _fetches(_parser().parse(written)) else written


def _escaped(text: str) -> str:
    # Not by a backslash in front, which one that stands there already would turn into a text itself.
    return _TAG.sub("&lt;", _IMAGE.sub(r"!\\", text))


def _fetches(tokens: Iterable[Token]) -> bool:
    return any(each.type in _FETCHING or _fetches(each.children or ()) for each in tokens)


@functools.cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"])
