"""The markers in an answer's parsed Markdown: each a link to what it cites, and doubt where that does not support it.

For `rendering.py`, whose `env` says which `citations` there are and where a `link` to one leads.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from django.utils.translation import gettext as _
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

_MARKER = re.compile(r"\[(\d{1,3})\]")
_SENTENCE_END = re.compile(r"(?<=[.!?。])\s+")
_STOP = re.compile(r"[.。!?,;:\s]*")


def mark_citations(state: StateCore) -> None:
    """Split the text around each marker that stands for a citation."""
    known = state.env.get("citations", {})
    for opening, block in itertools.pairwise(state.tokens):
        if block.type != "inline" or not block.children:
            continue
        children: list[Token] = []
        depth = 0
        for token in block.children:
            depth += {"link_open": 1, "link_close": -1}.get(token.type, 0)
            if token.type == "text" and not depth:
                children += _split(token, known)
            else:
                children.append(token)
        block.children = children
        if all(token.type == "citation" or not token.content.strip() for token in children):
            opening.attrSet("class", "markers")  # they stand below a code block or a table


def _split(token: Token, known: Mapping[int, Any]) -> list[Token]:
    parts: list[Token] = []
    end = 0
    for match in _MARKER.finditer(token.content):
        number = int(match[1])
        if number not in known:
            continue
        # No space before a marker: it never begins a line of its own.
        parts.append(plain(token.content[end : match.start()].rstrip(" ")))
        parts.append(Token("citation", "a", 0, content=match[1], meta={"number": number}))
        end = match.end()
    return [*parts, plain(token.content[end:])]


def mark_doubts(state: StateCore) -> None:
    """Mark each statement whose citation may not support it: from where its sentence begins to its markers."""
    known = state.env.get("citations", {})
    for block in state.tokens:
        if not any(token.type == "citation" for token in block.children or ()):
            continue
        statements = list(_statements(block.children or []))
        block.children = []
        for said, markers in statements:
            cited = [token for token in markers if token.type == "citation"]
            for token in cited:
                token.meta["is_doubtful"] = _is_doubted(said, known[token.meta["number"]])
            is_marked = any(token.meta["is_doubtful"] for token in cited)
            block.children += _doubted(said) if is_marked and said else said
            block.children += markers


def _statements(children: Sequence[Token]) -> Iterator[tuple[list[Token], list[Token]]]:
    """Yield what is said, with the markers behind it. Nothing is cut within emphasis or a link."""
    said: list[Token] = []
    markers: list[Token] = []
    depth = 0
    for token in children:
        is_inside = depth > 0
        depth += token.nesting
        content = token.content
        if token.type == "citation" and not is_inside:
            markers.append(token)
            continue
        if markers:
            stop = _STOP.match(content) if token.type == "text" else None
            end = stop.end() if stop else 0
            markers.append(plain(content[:end]))
            content = content[end:]
            if not content and token.type == "text":
                continue  # maybe there are more markers
            yield said, markers
            said, markers = [], []
        if token.type != "text" or is_inside:
            said.append(token)
            continue
        *ended, rest = _sentences(content)
        for sentence in ended:
            yield [*said, plain(sentence)], []
            said = []
        said.append(plain(rest))
    yield said, markers


def _sentences(text: str) -> list[str]:
    """Return the text cut behind each white space that ends a sentence; the last part may be empty."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return [text[a:b] for a, b in itertools.pairwise([0, *ends, len(text)])]


def _doubted(said: Sequence[Token]) -> list[Token]:
    opening, closing = Token("doubt_open", "span", 1), Token("doubt_close", "span", -1)
    opening.attrs = {
        "class": "doubted",
        "title": _("The passage that is cited may not support this statement"),
    }
    return [opening, *said, closing]


def _is_doubted(said: Sequence[Token], citation: Mapping[str, Any]) -> bool:
    """Does the citation not support this? Which statements it does not was not stored with all of them."""
    if citation.get("supported") is not False:
        return False
    doubted = citation.get("doubted")
    words = _letters("".join(token.content for token in said))
    return not doubted or (bool(words) and any(words in _letters(each) for each in doubted))


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.lower()))


def render_citation(
    _renderer: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    _options: OptionsDict,
    env: EnvType,
) -> str:
    """Return the link to the passage."""
    number = tokens[index].meta["number"]
    citation = env["citations"][number]
    place = " › ".join(citation["headings"]) or citation["document"]
    is_doubtful = tokens[index].meta.get("is_doubtful", citation.get("supported") is False)
    label = _("Source %(number)s: %(place)s") % {"number": number, "place": place}
    if is_doubtful:
        label += " " + _("(may not support this statement)")
    return (
        f'<a class="citation{" is-doubtful" if is_doubtful else ""}" data-number="{number}"'
        f' href="{escape(env["link"](citation))}"'
        f' aria-label="{escape(label)}" title="{escape(label)}">{number}</a>'
    )


def plain(content: str) -> Token:
    """Return a token of plain text."""
    return Token("text", "", 0, content=content)
