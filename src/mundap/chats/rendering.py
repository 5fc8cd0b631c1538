"""An answer's Markdown as safe HTML: no raw HTML, no images, citation markers as links to their passages.

Two guards stand one behind the other: the parser never passes HTML through, and the sanitizer would remove it. What
arrives and what is stored take the same way (`arriving.py` asks for one block after the other).
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from html import escape
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import UUID

import nh3
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
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

from mundap.library.long_names import breakable

SHORT_CODE_CHARACTERS = 24
MARKER = re.compile(r"\[(\d{1,3})\]")
SENTENCE_END = re.compile(r"(?<=[.!?。])\s+")
_STOP = re.compile(r"[.。!?,;:\s]*")
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
    parser.core.ruler.after("inline", "citations", _mark_citations)
    parser.core.ruler.after("citations", "doubts", _mark_doubts)
    parser.core.ruler.after("inline", "hosts", _show_hosts)
    parser.core.ruler.push("headings", _lower_headings)
    parser.add_render_rule("citation", _render_citation)
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


def _mark_citations(state: StateCore) -> None:
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
    for match in MARKER.finditer(token.content):
        number = int(match[1])
        if number not in known:
            continue
        # No space before a marker: it never begins a line of its own.
        parts.append(_text(token.content[end : match.start()].rstrip(" ")))
        parts.append(Token("citation", "a", 0, content=match[1], meta={"number": number}))
        end = match.end()
    return [*parts, _text(token.content[end:])]


def _mark_doubts(state: StateCore) -> None:
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
            markers.append(_text(content[:end]))
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
            yield [*said, _text(sentence)], []
            said = []
        said.append(_text(rest))
    yield said, markers


def _sentences(text: str) -> list[str]:
    """Return the text cut behind each white space that ends a sentence; the last part may be empty."""
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
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
    return [opening, _text(words), closing]


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def _lower_headings(state: StateCore) -> None:
    """Put an answer's headings below the question, which is a heading of the second level."""
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"


def _render_citation(
    _renderer: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    _options: OptionsDict,
    env: EnvType,
) -> str:
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
