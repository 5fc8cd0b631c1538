"""HTML: the main content of a page, without what surrounds it. Knows what Sphinx and MkDocs build.

lxml alone, not BeautifulSoup over it: Python's documentation is read in a quarter of the time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from lxml import etree
from lxml import html as lxml_html
from lxml.html import HtmlElement

from mundap.library.parsing.page import Kind, Page, PageContext, PageWriter, UnreadablePage
from mundap.library.parsing.tables import Cell, spread, table_text

VERSION = 2
SUFFIXES = (".html", ".htm", ".xhtml")

# Where the content is, the surest mark first.
_MAIN = (
    "//article[contains(concat(' ', @class, ' '), ' md-content__inner ')]",
    "//*[@role='main']",
    "//*[@itemprop='articleBody']",
    "//div[@id='main-content']",
    "//div[contains(concat(' ', @class, ' '), ' body ')]",
    "//main",
    "//article",
    "//div[@id='content']",
    "//body",
)
_SKIPPED_TAGS = {
    "script", "style", "nav", "footer", "form", "button", "svg", "noscript", "template", "iframe",
    "input", "select", "textarea", "head", "title", "canvas", "audio", "video", "object", "map",
}  # fmt: skip
_SKIPPED_CLASSES = {
    "headerlink", "toctree-wrapper", "sphinxsidebar", "related", "contents", "toc", "linenos",
    "breadcrumb", "breadcrumbs", "navbar", "sidebar", "md-source-file", "edit-link", "prev-next",
    "admonition-title", "viewcode-link", "section-number", "rst-footer-buttons", "clicktoc",
}  # fmt: skip
_BLOCK_TAGS = {
    "address", "article", "aside", "blockquote", "body", "center", "dd", "details", "div", "dl",
    "dt", "fieldset", "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr",
    "li", "main", "ol", "p", "pre", "section", "summary", "table", "ul",
}  # fmt: skip
_CODE_TAGS = {"code", "tt", "kbd", "samp"}
_NOTE_CLASSES = {
    "admonition", "versionadded", "versionchanged", "deprecated", "deprecated-removed",
    "versionremoved", "versionmodified",
}  # fmt: skip
_OBJECT_CLASSES = {
    "attribute", "class", "classmethod", "data", "describe", "exception", "function", "macro",
    "member", "method", "object", "option", "cmdoption", "property", "staticmethod", "type", "var",
}  # fmt: skip


def parse(source: str, context: PageContext) -> Page:
    """Return the page's main content."""
    source = re.sub(r"^\s*<\?xml[^>]*\?>", "", source)
    parser = lxml_html.HTMLParser(remove_comments=True, remove_pis=True, no_network=True)
    try:
        tree = lxml_html.document_fromstring(source, parser=parser)
    except (etree.ParserError, ValueError) as exc:
        raise UnreadablePage(f"The page is not HTML: {exc}") from exc
    walker = _Walker()
    walker.walk(_main(tree))
    return walker.writer.finish(_title(tree))


def declared_encoding(data: bytes) -> str | None:
    """Return the encoding that the page's head names."""
    match = re.search(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w-]+)", data[:4096], re.IGNORECASE)
    return match[1].decode("ascii") if match else None


def _main(tree: HtmlElement) -> HtmlElement:
    for path in _MAIN:
        found = tree.xpath(path)
        if found and "".join(found[0].itertext()).strip():
            element: HtmlElement = found[0]
            return element
    return tree


def _title(tree: HtmlElement) -> str:
    """Return the title without the site's name after it."""
    title = " ".join((tree.findtext(".//title") or "").replace("<no title>", "").split())
    return re.split(r"\s+[—–|»·]\s+|\s+-\s+", title)[0]


def _classes(element: HtmlElement) -> set[str]:
    return set((element.get("class") or "").split())


def _is_skipped(element: HtmlElement) -> bool:
    if not isinstance(element.tag, str) or element.tag in _SKIPPED_TAGS:
        return True
    return bool(_SKIPPED_CLASSES & _classes(element)) or element.get("hidden") is not None


def _is_block(element: HtmlElement) -> bool:
    return isinstance(element.tag, str) and element.tag in _BLOCK_TAGS


def _pieces(element: HtmlElement, *, is_code_marked: bool = True) -> Iterator[str]:
    """Yield an element's text, code in backticks."""
    if _is_skipped(element):
        return
    if element.tag == "br":
        yield "\n"
    elif element.tag == "img":
        yield element.get("alt") or ""
    elif element.tag in _CODE_TAGS and is_code_marked:
        text = " ".join("".join(element.itertext()).split())
        yield f"`{text}`" if text and "`" not in text else text
    else:
        yield element.text or ""
        for child in element:
            yield from _pieces(child, is_code_marked=is_code_marked)
            yield child.tail or ""


def _inline(element: HtmlElement) -> str:
    return " ".join("".join(_pieces(element)).split())


def _heading_text(element: HtmlElement) -> str:
    return " ".join("".join(_pieces(element, is_code_marked=False)).replace("¶", "").split())


class _Walker:
    """Goes through the content in reading order and writes the page."""

    def __init__(self) -> None:
        self.writer = PageWriter()
        self._visitors: dict[str, Callable[[HtmlElement], None]] = {
            "pre": self._code,
            "ul": self._list,
            "ol": self._list,
            "dl": self._descriptions,
            "table": self._table,
            "hr": lambda _element: None,
            "summary": self._label,
        } | {f"h{level}": self._heading for level in range(1, 7)}

    def walk(self, element: HtmlElement) -> None:
        """Write an element's content."""
        for part in _parts(element):
            if isinstance(part, str):
                self.writer.block(part)
            else:
                self._visit(part)

    def _visit(self, element: HtmlElement) -> None:
        visitor = self._visitors.get(element.tag)
        classes = _classes(element)
        if visitor is not None:
            visitor(element)
        elif classes & _NOTE_CLASSES:
            self.writer.block(_note(element), kind=Kind.NOTE)
        elif "rubric" in classes:
            self._label(element)
        else:
            self.walk(element)

    def _heading(self, element: HtmlElement) -> None:
        text = _heading_text(element)
        if text:
            self.writer.heading(text, level=int(element.tag[1]), anchor=_heading_anchor(element))

    def _label(self, element: HtmlElement) -> None:
        text = _inline(element)
        self.writer.block(f"**{text}**" if text else "")

    def _code(self, element: HtmlElement) -> None:
        self.writer.block(_fenced(element), kind=Kind.CODE, language=_language(element))

    def _list(self, element: HtmlElement) -> None:
        for number, item in enumerate(_items(element)):
            self.writer.block(item, kind=Kind.LIST, is_tight=number > 0 and "\n\n" not in item)

    def _table(self, element: HtmlElement) -> None:
        if "footnote" in _classes(element) or element.get("role") == "presentation":
            self.writer.block(_inline(element))
        elif code := element.xpath(".//td[contains(@class, 'code')]//pre"):
            self._code(code[0])
        else:
            self.writer.block(_table(element), kind=Kind.TABLE)

    def _descriptions(self, element: HtmlElement) -> None:
        if not _is_of_objects(element):
            self._list(element)
            return
        for terms, body in _entries(element):
            self._definition(terms, body, is_term="glossary" in _classes(element))

    def _definition(
        self, terms: list[HtmlElement], body: HtmlElement | None, *, is_term: bool
    ) -> None:
        signatures = [_signature(term) for term in terms]
        ids = [
            found for term in terms for found in (term.get("id"), *term.xpath(".//@id")) if found
        ]
        has_content = body is not None and bool(" ".join(body.itertext()).strip())
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


def _parts(element: HtmlElement) -> Iterator[HtmlElement | str]:
    """Yield an element's blocks: block elements, and runs of inline text between them as paragraphs."""
    run: list[str] = [element.text or ""]
    for child in element:
        if _is_skipped(child):
            run.append(child.tail or "")
            continue
        if _is_block(child) or any(_is_block(each) for each in child.iterdescendants()):
            yield from _paragraph(run)
            run = []
            yield child
        else:
            run.extend(_pieces(child))
        run.append(child.tail or "")
    yield from _paragraph(run)


def _paragraph(run: list[str]) -> Iterator[str]:
    text = " ".join("".join(run).split())
    if text and text != "¶":
        yield text


def _heading_anchor(element: HtmlElement) -> str:
    """Return where the heading is published: its section's id, its own, or that of an anchor beside it."""
    parent = element.getparent()
    if parent is not None and (parent.tag == "section" or "section" in _classes(parent)):
        own = parent.get("id") or ""
        others = [each.get("id") for each in parent.xpath("./span[@id]")]
        if own and not (re.fullmatch(r"id\d+", own) and others):
            return own
        if others:
            return str(others[0])
    if element.get("id"):
        return str(element.get("id"))
    inside = element.xpath(".//@id | .//a/@name")
    if inside:
        return str(inside[0])
    before = element.getprevious()
    if before is not None and before.tag == "a" and not (before.tail or "").strip():
        return before.get("id") or before.get("name") or ""
    return ""


def _is_of_objects(element: HtmlElement) -> bool:
    classes = _classes(element)
    if "glossary" in classes or classes & _OBJECT_CLASSES:
        return True
    return any("sig" in _classes(term) for term in element.findall("dt"))


def _entries(element: HtmlElement) -> Iterator[tuple[list[HtmlElement], HtmlElement | None]]:
    """Yield a description list's terms with what is said of them."""
    terms: list[HtmlElement] = []
    for child in _direct(element, {"dt", "dd"}):
        if child.tag == "dt":
            terms.append(child)
        elif terms:
            yield terms, child
            terms = []
    if terms:
        yield terms, None


def _direct(element: HtmlElement, tags: set[str]) -> Iterator[HtmlElement]:
    """Yield the children of these tags, also those that a div groups."""
    for child in element:
        if child.tag in tags:
            yield child
        elif child.tag == "div":
            yield from _direct(child, tags)


def _signature(term: HtmlElement) -> str:
    """Return a signature on one line, a method's with its class."""
    text = _heading_text(term)
    name = "".join(term.xpath("string(.//*[contains(@class, 'descname')])")).strip()
    full = _with_class(term, name) if name else name
    return (
        re.sub(rf"(?<![\w.]){re.escape(name)}(?!\w)", full, text, count=1) if full != name else text
    )


def _object_name(term: HtmlElement) -> str:
    """Return the name that a signature defines: `date.today()`."""
    names = term.xpath(
        ".//*[contains(@class, 'descclassname') or contains(@class, 'descname')]"
        "[not(ancestor::*[contains(@class, 'descclassname') or contains(@class, 'descname')])]"
    )
    whole = _heading_text(term)
    if not names:
        return whole[:100]
    name = "".join("".join(each.itertext()) for each in names).strip()
    parent = term.getparent()
    kinds = _classes(parent) if parent is not None else set()
    name = _with_class(term, name)
    is_called = kinds & {"function", "method", "classmethod", "staticmethod"}
    return f"{name}()" if is_called and "(" in whole else name


def _with_class(term: HtmlElement, name: str) -> str:
    """Return a method's name with its class, which stands around it and not in front of it."""
    around = [_classes(each) for each in term.iterancestors("dl")][1:]
    is_member = any(kinds & {"class", "exception"} for kinds in around)
    anchor = term.get("id") or ""
    if not is_member or "." in name or not anchor.endswith(f".{name}"):
        return name
    return ".".join(anchor.split(".")[-2:])


def _blocks(element: HtmlElement) -> str:
    """Return an element's content as text, each block a paragraph of its own."""
    texts = (part if isinstance(part, str) else _block(part) for part in _parts(element))
    return "\n\n".join(text for text in texts if text.strip())


def _block(element: HtmlElement) -> str:
    classes = _classes(element)
    if element.tag == "pre":
        return _fenced(element)
    if element.tag in {"ul", "ol", "dl"}:
        items = list(_items(element))
        return ("\n\n" if any("\n\n" in item for item in items) else "\n").join(items)
    if element.tag == "table":
        code = element.xpath(".//td[contains(@class, 'code')]//pre")
        return _fenced(code[0]) if code else _table(element)
    if classes & _NOTE_CLASSES:
        return _note(element)
    if element.tag in {"h1", "h2", "h3", "h4", "h5", "h6", "summary"} or "rubric" in classes:
        return f"**{_heading_text(element)}**"
    return _blocks(element)


def _language(element: HtmlElement) -> str:
    inner = element.find("code")
    around = list(element.iterancestors("div"))[:3]
    for each in [element, *([inner] if inner is not None else []), *around]:
        for name in _classes(each):
            match = re.fullmatch(r"(?:language|lang|highlight)-([\w+#.-]+)", name)
            if match and match[1] not in {"default", "none", "text", "plaintext"}:
                return {"python3": "python", "default": ""}.get(match[1], match[1])
    return ""


def _fenced(element: HtmlElement) -> str:
    lines = [line.rstrip() for line in "".join(_code_pieces(element)).split("\n")]
    code = "\n".join(lines).strip("\n")
    fence = "````" if "```" in code else "```"
    return f"{fence}{_language(element)}\n{code}\n{fence}" if code.strip() else ""


def _code_pieces(element: HtmlElement) -> Iterator[str]:
    if _SKIPPED_CLASSES & _classes(element) or not isinstance(element.tag, str):
        return
    yield "\n" if element.tag == "br" else element.text or ""
    for child in element:
        yield from _code_pieces(child)
        yield child.tail or ""


def _items(element: HtmlElement) -> Iterable[str]:
    """Yield a list's items, each with its mark."""
    if element.tag == "dl":
        for terms, body in _entries(element):
            name = ", ".join(_inline(term) for term in terms)
            text = _blocks(body) if body is not None else ""
            yield f"- {name}\n  {_indented(text, 2)}" if text else f"- {name}"
        return
    start = element.get("start") or "1"
    number = int(start) if start.isdecimal() else 1
    for item in element.findall("li"):
        mark = f"{number}. " if element.tag == "ol" else "- "
        number += 1
        if text := _blocks(item):
            yield mark + _indented(text, len(mark))


def _indented(text: str, width: int) -> str:
    return re.sub(r"\n(?!\n)", "\n" + " " * width, text)


def _note(element: HtmlElement) -> str:
    title = element.xpath("./*[contains(@class, 'admonition-title')]")
    label = " ".join("".join(title[0].itertext()).replace("¶", "").split()) if title else ""
    body = _blocks(element)
    if not label:
        return body
    separator = "\n\n" if body.startswith(("```", "- ", "|")) else " "
    return f"**{label.rstrip(':')}:**{separator}{body}"


def _table(element: HtmlElement) -> str:
    rows: list[list[Cell]] = []
    has_header = False
    for row in element.iter("tr"):
        if next(row.iterancestors("table")) is not element:
            continue
        cells = [cell for cell in row if cell.tag in {"td", "th"}]
        if not rows:
            has_header = bool(cells) and all(cell.tag == "th" for cell in cells)
        rows.append(
            [Cell(_blocks(cell), _span(cell, "rowspan"), _span(cell, "colspan")) for cell in cells]
        )
    caption = element.find("caption")
    title = _inline(caption) if caption is not None else ""
    return (f"{title}\n\n" if title else "") + table_text(spread(rows), has_header=has_header)


def _span(cell: HtmlElement, name: str) -> int:
    value = cell.get(name) or "1"
    return max(1, int(value)) if value.isdecimal() and len(value) < 5 else 1
