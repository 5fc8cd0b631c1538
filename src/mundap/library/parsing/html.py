"""HTML: the main content of a page, without what surrounds it. Knows what Sphinx, MkDocs and Doxygen build.

lxml's own tree, neither BeautifulSoup nor lxml.html over it: Python's documentation is read in a fifth of the time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urljoin

from lxml import etree

from mundap.library.parsing.html_text import (
    NOTE_CLASSES,
    HtmlText,
    classes,
    code_language,
    entries,
    fenced_code,
    heading_text,
)
from mundap.library.parsing.links import LinkMarks
from mundap.library.parsing.page import Kind, Page, PageContext, PageWriter, UnreadablePage

VERSION = 3
SUFFIXES = (".html", ".htm", ".xhtml")

# Where the content is, the surest mark first.
_MAIN = (
    "//article[contains(concat(' ', @class, ' '), ' md-content__inner ')]",
    "//*[@role='main']",
    "//*[@itemprop='articleBody']",
    "//*[@id='main-content'][self::div or self::section]",
    "//div[contains(concat(' ', @class, ' '), ' body ')]",
    "//main",
    "//article",
    "//div[@id='content']",
    "//body",
)
_OBJECT_CLASSES = {
    "attribute", "class", "classmethod", "data", "describe", "exception", "function", "macro",
    "member", "method", "object", "option", "cmdoption", "property", "staticmethod", "type", "var",
}  # fmt: skip
_NOTED_CLASSES = {"footnote", "citation"}


def parse(source: str, context: PageContext) -> Page:
    """Return the page's main content."""
    source = re.sub(r"^\s*<\?xml[^>]*\?>", "", source)
    parser = etree.HTMLParser(remove_comments=True, remove_pis=True, no_network=True)
    try:
        tree = etree.fromstring(source, parser)
    except (etree.LxmlError, ValueError) as exc:
        raise UnreadablePage(f"The page is not HTML: {exc}") from exc
    if tree is None:
        raise UnreadablePage("The page is not HTML: it is empty.")
    walker = _Walker(_base(tree, context))
    walker.walk(_main(tree))
    return walker.writer.finish(_title(tree))


_BEGINNING = re.compile(
    rb"\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!--(?:[^-]|-(?!->)){0,2000}-->\s*){0,5}"
    rb"<(?:!doctype\s+html|html)\b",
    re.IGNORECASE,
)


def recognises(data: bytes) -> bool:
    """Return whether this is a whole HTML page, whatever its name."""
    return _BEGINNING.match(data.removeprefix(b"\xef\xbb\xbf")) is not None


def declared_encoding(data: bytes) -> str | None:
    """Return the encoding that the page's head names."""
    head = data[:4096]
    match = re.search(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w-]+)", head, re.IGNORECASE)
    match = match or re.match(rb"\s*<\?xml[^>]+encoding\s*=\s*[\"']([\w-]+)", head)
    return match[1].decode("ascii", "replace") if match else None


def _base(tree: etree._Element, context: PageContext) -> str:
    """Return where the page's relative links start from."""
    own = str(tree.xpath("string(//head/link[@rel='canonical']/@href)")).strip()
    named = str(tree.xpath("string(//head/base/@href)")).strip()
    try:
        return urljoin(context.url or own, named)
    except ValueError:
        return context.url


def _main(tree: etree._Element) -> etree._Element:
    for path in _MAIN:
        found = tree.xpath(path)
        if found and any(text.strip() for text in found[0].itertext()):
            return found[0]
    return tree


def _title(tree: etree._Element) -> str:
    """Return the title without the site's name after it."""
    title = " ".join((tree.findtext(".//title") or "").replace("<no title>", "").split())
    return re.split(r"\s+[—–|»·]\s+|\s+-\s+", title)[0]


class _Walker:
    """Goes through the content in reading order and writes the page."""

    def __init__(self, base: str) -> None:
        links = LinkMarks(base)
        self.writer = PageWriter(links)
        self.text = HtmlText(links)
        self._visitors: dict[str, Callable[[etree._Element], None]] = {
            "pre": self._code,
            "ul": self._list,
            "ol": self._list,
            "dl": self._descriptions,
            "table": self._table,
            "hr": lambda _element: None,
            "summary": self._label,
        } | {f"h{level}": self._heading for level in range(1, 7)}

    def walk(self, element: etree._Element) -> None:
        """Write an element's content."""
        for part in self.text.parts(element):
            if isinstance(part, str):
                self.writer.block(part)
            else:
                self._visit(part)

    def _visit(self, element: etree._Element) -> None:
        visitor = self._visitors.get(element.tag)
        found = classes(element)
        if visitor is not None:
            visitor(element)
        elif found & NOTE_CLASSES:
            self.writer.block(self.text.note(element), kind=Kind.NOTE)
        elif "rubric" in found:
            self._label(element)
        else:
            self.walk(element)

    def _heading(self, element: etree._Element) -> None:
        text = heading_text(element)
        if text:
            self.writer.heading(text, level=int(element.tag[1]), anchor=_heading_anchor(element))

    def _label(self, element: etree._Element) -> None:
        text = self.text.inline(element)
        self.writer.block(f"**{text}**" if text else "")

    def _code(self, element: etree._Element) -> None:
        self.writer.block(fenced_code(element), kind=Kind.CODE, language=code_language(element))

    def _list(self, element: etree._Element) -> None:
        for number, item in enumerate(self.text.items(element)):
            self.writer.block(item, kind=Kind.LIST, is_tight=number > 0 and "\n\n" not in item)

    def _table(self, element: etree._Element) -> None:
        if "footnote" in classes(element) or element.get("role") == "presentation":
            self.writer.block(self.text.inline(element))
        elif code := element.xpath(".//td[contains(@class, 'code')]//pre"):
            self._code(code[0])
        else:
            self.writer.block(self.text.table(element), kind=Kind.TABLE)

    def _descriptions(self, element: etree._Element) -> None:
        is_of_objects = _is_of_objects(element)
        is_of_terms = "glossary" in classes(element) or _has_own_anchors(element)
        if not is_of_terms and not is_of_objects:
            self._list(element)
            return
        for terms, body in entries(element):
            self._definition(terms, body, is_term=is_of_terms and not is_of_objects)

    def _definition(
        self, terms: list[etree._Element], body: etree._Element | None, *, is_term: bool
    ) -> None:
        signatures = [_signature(term) for term in terms]
        ids = [
            found for term in terms for found in (term.get("id"), *term.xpath(".//@id")) if found
        ]
        has_content = body is not None and any(text.strip() for text in body.itertext())
        self.writer.definition(
            signatures[0] if is_term else _object_name(terms[0]),
            signatures=signatures,
            anchor=ids[0] if ids else "",
            is_flat=not has_content,
            is_code=not is_term,
        )
        if body is not None and has_content:
            self.walk(body)
            self.writer.end_definition()


def _heading_anchor(element: etree._Element) -> str:
    """Return where the heading is published: its section's id, its own, or that of an anchor beside it."""
    parent = element.getparent()
    if parent is not None and (parent.tag == "section" or "section" in classes(parent)):
        own = parent.get("id") or ""
        if own and not re.fullmatch(r"id\d+", own):
            return own
        other = next((each.get("id") for each in parent.iterchildren("span") if each.get("id")), "")
        if own or other:
            return other or own
    if element.get("id"):
        return str(element.get("id"))
    inside = element.xpath(".//@id | .//a/@name")
    if inside:
        return str(inside[0])
    before = element.getprevious()
    if before is not None and before.tag == "a" and not (before.tail or "").strip():
        return before.get("id") or before.get("name") or ""
    return ""


def _is_of_objects(element: etree._Element) -> bool:
    if classes(element) & _OBJECT_CLASSES:
        return True
    return any("sig" in classes(term) for term in element.findall("dt"))


def _has_own_anchors(element: etree._Element) -> bool:
    """Return whether these are terms that can be linked to, as in references written by hand."""
    if classes(element) & _NOTED_CLASSES:
        return False
    ids = [term.get("id") or "" for term in element.findall("dt")]
    return bool(ids) and all(each and not re.fullmatch(r"id\d+", each) for each in ids)


def _signature(term: etree._Element) -> str:
    """Return a signature on one line, a method's with its class."""
    text = heading_text(term)
    name = "".join(term.xpath("string(.//*[contains(@class, 'descname')])")).strip()
    full = _with_class(term, name) if name else name
    if full == name:
        return text
    return re.sub(rf"(?<![\w.]){re.escape(name)}(?!\w)", lambda _match: full, text, count=1)


def _object_name(term: etree._Element) -> str:
    """Return the name that a signature defines: `date.today()`."""
    names = term.xpath(
        ".//*[contains(@class, 'descclassname') or contains(@class, 'descname')]"
        "[not(ancestor::*[contains(@class, 'descclassname') or contains(@class, 'descname')])]"
    )
    whole = heading_text(term)
    if not names:
        return whole[:100]
    name = "".join("".join(each.itertext()) for each in names).strip()
    parent = term.getparent()
    kinds = classes(parent) if parent is not None else set()
    name = _with_class(term, name)
    is_called = kinds & {"function", "method", "classmethod", "staticmethod"}
    return f"{name}()" if is_called and "(" in whole else name


def _with_class(term: etree._Element, name: str) -> str:
    """Return a method's name with its class, which stands around it and not in front of it."""
    around = [classes(each) for each in term.iterancestors("dl")][1:]
    is_member = any(kinds & {"class", "exception"} for kinds in around)
    anchor = term.get("id") or ""
    if not is_member or "." in name or not anchor.endswith(f".{name}"):
        return name
    return ".".join(anchor.split(".")[-2:])
