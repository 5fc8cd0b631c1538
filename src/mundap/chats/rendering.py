"""An answer's Markdown as safe HTML: no raw HTML, no images, citation markers as links to their passages.

Two guards stand one behind the other: the parser never passes HTML through, and the sanitizer would remove it. What
arrives and what is stored take the same way (`arriving.py` asks for one block after the other).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import UUID

import nh3
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from pygments import highlight
from pygments.formatters.html import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.lexers.special import TextLexer
from pygments.util import ClassNotFound

from mundap.chats.markers import mark_citations, mark_doubts, plain, render_citation
from mundap.library.long_names import breakable

SHORT_CODE_CHARACTERS = 24
OPENABLE = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
TAGS = {
    *("a", "br", "code", "del", "em", "span", "strong", "wbr"),
    *("blockquote", "div", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "ul"),
    *("table", "tbody", "td", "th", "thead", "tr"),
}
ATTRIBUTES = {
    "a": {"href", "title", "class", "aria-label", "data-number", "target"},
    "code": {"class"},
    "div": {"class", "tabindex"},
    "ol": {"start"},
    "p": {"class"},
    "pre": {"tabindex", "data-language"},
    "span": {"class", "title"},
}


def answer_html(
    text: str, *, citations: Sequence[Mapping[str, Any]], message: UUID | str
) -> SafeString:
    """Return the answer's Markdown as sanitized HTML.

    `citations` are the message's own (`number`, `passage`, `document`, `headings`, `supported`, maybe `doubted`): a
    marker becomes a link only where its number is among them, and never inside code.
    """
    return linked_html(text, citations=citations, link=partial(citation_url, message=message))


def linked_html(
    text: str,
    *,
    citations: Sequence[Mapping[str, Any]],
    link: Callable[[Mapping[str, Any]], str],
) -> SafeString:
    """Return what `answer_html` does, with markers that lead to wherever `link` says."""
    tokens, env = parsed(text, citations=citations, link=link)
    return rendered(tokens, env)


def parsed(
    text: str,
    *,
    citations: Sequence[Mapping[str, Any]],
    link: Callable[[Mapping[str, Any]], str],
) -> tuple[list[Token], EnvType]:
    """Return the text's tokens, and what rendering them needs to know."""
    env = {"citations": {each["number"]: each for each in citations}, "link": link}
    return _parser().parse(text, env), env


def rendered(tokens: Sequence[Token], env: EnvType) -> SafeString:
    """Return the tokens of whole blocks as sanitized HTML."""
    html = _parser().renderer.render(tokens, _parser().options, env)
    # The parser has made all of this; the sanitizer is the second lock.
    return mark_safe(  # noqa: S308
        nh3.clean(
            html,
            tags=TAGS,
            attributes=ATTRIBUTES,
            url_schemes={"http", "https", "mailto"},
            link_rel="nofollow noopener noreferrer",
        )
    )


def citation_url(citation: Mapping[str, Any], *, message: UUID | str) -> str:
    """Return the page that shows this citation in its passage."""
    query = urlencode({"message": str(message), "n": citation["number"]})
    return f"{reverse('pages:passage', args=[citation['passage']])}?{query}"


@functools.cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("js-default", {"html": False, "linkify": False, "highlight": _highlight})
    # `[1]: address` would turn the markers into links to somewhere else.
    parser.disable(["reference", "linkify", "replacements", "smartquotes"])
    parser.validateLink = _is_openable  # type: ignore[method-assign]
    parser.core.ruler.after("inline", "citations", mark_citations)
    parser.core.ruler.after("citations", "doubts", mark_doubts)
    parser.core.ruler.after("inline", "hosts", _show_hosts)
    parser.core.ruler.push("headings", _lower_headings)
    parser.add_render_rule("citation", render_citation)
    parser.add_render_rule("image", _render_image)
    parser.add_render_rule("code_inline", _render_code)
    parser.add_render_rule("table_open", _open_table)
    parser.add_render_rule("table_close", _close_table)
    return parser


def _is_openable(url: str) -> bool:
    """Is it a full web address? Others would lead to places of this site that the text does not show."""
    return bool(OPENABLE.match(url.strip()))


def _highlight(code: str, language: str, _attributes: str) -> str:
    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        lexer = TextLexer()
    name = language if re.fullmatch(r"[\w+#.-]{1,30}", language) else ""
    body = highlight(code, lexer, HtmlFormatter(nowrap=True))
    # The outer <pre> tells markdown-it that this is the whole block; a keyboard can scroll it.
    return f'<pre tabindex="0" data-language="{name}"><code>{body}</code></pre>\n'


def _show_hosts(state: StateCore) -> None:
    """Say behind each link where it goes, and open it beside the answer."""
    for block in state.tokens:
        children: list[Token] = []
        words, address = "", ""
        for token in block.children or []:
            children.append(token)
            if token.type == "link_open":
                words, address = "", str(token.attrs["href"])
                token.attrs = {**token.attrs, "target": "_blank", "title": address}
            elif token.type == "link_close":
                host = _host(address)
                if host and host not in words.lower():
                    children += _hint(f" ({host})")
            else:
                words += token.content
        if block.children:
            block.children = children


def _host(address: str) -> str:
    """Return the host that the address leads to, in the letters that the network sees."""
    try:
        return (urlsplit(address).hostname or "").encode("idna").decode()
    except (UnicodeError, ValueError):
        return "?"


def _hint(words: str) -> list[Token]:
    opening, closing = Token("hint_open", "span", 1), Token("hint_close", "span", -1)
    opening.attrs = {"class": "host"}
    return [opening, plain(words), closing]


def _lower_headings(state: StateCore) -> None:
    """Put an answer's headings below the question, which is a heading of the second level."""
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"


def _render_image(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """Return only an image's words: fetching it would tell its server who reads this."""
    return escape(renderer.renderInlineAsText(tokens[index].children or [], options, env))


def _render_code(
    _renderer: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    _options: OptionsDict,
    _env: EnvType,
) -> str:
    content = tokens[index].content
    if len(content) <= SHORT_CODE_CHARACTERS:
        return f'<code class="short">{escape(content)}</code>'  # not even torn at its hyphen
    return f"<code>{breakable(content)}</code>"


def _open_table(*_arguments: object) -> str:
    # A wide table scrolls in a box of its own, so that the page never does; a keyboard can scroll it.
    return '<div class="table" tabindex="0"><table>'


def _close_table(*_arguments: object) -> str:
    return "</table></div>"
