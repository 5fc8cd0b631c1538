"""HTML elements as readable text: inline markup, and blocks that stand inside lists, tables and notes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from lxml import etree

from mundap.library.parsing.links import LinkMarks
from mundap.library.parsing.tables import Cell, spread, table_text

_SKIPPED_TAGS = {
    "script", "style", "nav", "footer", "form", "button", "svg", "noscript", "template", "iframe",
    "input", "select", "textarea", "head", "title", "canvas", "audio", "video", "object", "map",
}  # fmt: skip
_SKIPPED_CLASSES = {
    "headerlink", "toctree-wrapper", "sphinxsidebar", "related", "toc", "linenos", "breadcrumb",
    "breadcrumbs", "navbar", "sidebar", "md-source-file", "edit-link", "prev-next",
    "admonition-title", "viewcode-link", "section-number", "rst-footer-buttons", "clicktoc",
    "header-anchor", "hash-link", "anchor-link", "custom-block-title", "markdown-alert-title",
}  # fmt: skip
_SKIPPED_ROLES = {"navigation", "search", "contentinfo"}
_BLOCK_TAGS = {
    "address", "article", "aside", "blockquote", "body", "center", "dd", "details", "div", "dl",
    "dt", "fieldset", "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr",
    "li", "main", "ol", "p", "pre", "section", "summary", "table", "ul",
}  # fmt: skip
_CODE_TAGS = {"code", "tt", "kbd", "samp"}
NOTE_CLASSES = {
    "admonition", "versionadded", "versionchanged", "deprecated", "deprecated-removed",
    "versionremoved", "versionmodified", "custom-block", "markdown-alert",
}  # fmt: skip
_NOTE_TITLE = (
    "./*[contains(@class, 'admonition-title') or contains(@class, 'custom-block-title')"
    " or contains(@class, 'markdown-alert-title')]"
)


def classes(element: etree._Element) -> set[str]:
    """Return an element's classes."""
    return set((element.get("class") or "").split())


def is_skipped(element: etree._Element) -> bool:
    """Return whether this is no content: navigation, scripts, signs of links."""
    if not isinstance(element.tag, str) or element.tag in _SKIPPED_TAGS:
        return True
    if element.get("hidden") is not None or element.get("role") in _SKIPPED_ROLES:
        return True
    named = element.get("class")
    if not named:
        return False
    found = named.split()
    # A table of contents is a topic in Sphinx; Doxygen's `contents` are the page itself.
    is_contents = "contents" in found and ("topic" in found or "local" in found)
    return is_contents or not _SKIPPED_CLASSES.isdisjoint(found)


def holds_blocks(element: etree._Element) -> bool:
    """Return whether this is a block, or has one inside."""
    if element.tag in _BLOCK_TAGS:
        return True
    return len(element) > 0 and next(element.iterdescendants(*_BLOCK_TAGS), None) is not None


def heading_text(element: etree._Element) -> str:
    """Return a heading's text, without any markup and links."""
    return " ".join("".join(_plain_pieces(element)).replace("¶", "").split())


def _plain_pieces(element: etree._Element) -> Iterator[str]:
    if is_skipped(element):
        return
    if element.tag == "br":
        yield "\n"
    elif element.tag == "img":
        yield element.get("alt") or ""
    else:
        yield element.text or ""
        for child in element:
            yield from _plain_pieces(child)
            yield child.tail or ""


def direct(element: etree._Element, tags: set[str]) -> Iterator[etree._Element]:
    """Yield the children of these tags, also those that a div groups."""
    for child in element:
        if child.tag in tags:
            yield child
        elif child.tag == "div":
            yield from direct(child, tags)


def entries(
    element: etree._Element,
) -> Iterator[tuple[list[etree._Element], etree._Element | None]]:
    """Yield a description list's terms with what is said of them."""
    terms: list[etree._Element] = []
    for child in direct(element, {"dt", "dd"}):
        if child.tag == "dt":
            terms.append(child)
        elif terms:
            yield terms, child
            terms = []
    if terms:
        yield terms, None


def code_language(element: etree._Element) -> str:
    """Return the language of a code block, or nothing."""
    inner = element.find("code")
    around = list(element.iterancestors("div"))[:3]
    for each in [element, *([inner] if inner is not None else []), *around]:
        for name in classes(each):
            match = re.fullmatch(r"(?:language|lang|highlight)-([\w+#.-]+)", name)
            if match and match[1] not in {"default", "none", "text", "plaintext"}:
                return {"python3": "python", "default": ""}.get(match[1], match[1])
    return ""


def fenced_code(element: etree._Element) -> str:
    """Return a code block between fences."""
    lines = [line.rstrip() for line in "".join(_code_pieces(element)).split("\n")]
    code = "\n".join(lines).strip("\n")
    fence = "````" if "```" in code else "```"
    return f"{fence}{code_language(element)}\n{code}\n{fence}" if code.strip() else ""


def _code_pieces(element: etree._Element) -> Iterator[str]:
    named = element.get("class")
    if named and not _SKIPPED_CLASSES.isdisjoint(named.split()):
        return
    yield "\n" if element.tag == "br" else element.text or ""
    for child in element:
        yield from _code_pieces(child)
        yield child.tail or ""


class HtmlText:
    """Elements as text; links keep the marks of where they lead."""

    def __init__(self, links: LinkMarks) -> None:
        self._links = links

    def inline(self, element: etree._Element) -> str:
        """Return an element's text on one line, code in backticks."""
        return " ".join("".join(self._pieces(element)).split())

    def _pieces(self, element: etree._Element) -> Iterator[str]:
        if is_skipped(element):
            return
        if element.tag == "br":
            yield "\n"
        elif element.tag == "img":
            yield element.get("alt") or ""
        elif element.tag in _CODE_TAGS:
            yield self._code_span(element)
        elif element.tag == "a" and element.get("href"):
            yield self._links.marked("".join(self._inner_pieces(element)), element.get("href"))
        else:
            yield from self._inner_pieces(element)

    def _inner_pieces(self, element: etree._Element) -> Iterator[str]:
        yield element.text or ""
        for child in element:
            yield from self._pieces(child)
            yield child.tail or ""

    def _code_span(self, element: etree._Element) -> str:
        text = " ".join("".join(element.itertext()).split())
        shown = f"`{text}`" if text and "`" not in text else text
        inner = element.findall("a") if len(element) == 1 else []
        is_link = bool(inner) and "".join(inner[0].itertext()).strip() == text
        return self._links.marked(shown, inner[0].get("href") or "") if is_link else shown

    def parts(self, element: etree._Element) -> Iterator[etree._Element | str]:
        """Yield an element's blocks: block elements, and runs of inline text between them as paragraphs."""
        run: list[str] = [element.text or ""]
        for child in element:
            if is_skipped(child):
                run.append(child.tail or "")
                continue
            if holds_blocks(child):
                yield from _paragraph(run)
                run = []
                yield child
            else:
                run.extend(self._pieces(child))
            run.append(child.tail or "")
        yield from _paragraph(run)

    def _blocks(self, element: etree._Element) -> str:
        """Return an element's content as text, each block a paragraph of its own."""
        texts = (
            part if isinstance(part, str) else self._block(part) for part in self.parts(element)
        )
        return "\n\n".join(text for text in texts if text.strip())

    def _block(self, element: etree._Element) -> str:
        found = classes(element)
        if element.tag == "pre":
            return fenced_code(element)
        if element.tag in {"ul", "ol", "dl"}:
            items = list(self.items(element))
            return ("\n\n" if any("\n\n" in item for item in items) else "\n").join(items)
        if element.tag == "table":
            code = element.xpath(".//td[contains(@class, 'code')]//pre")
            return fenced_code(code[0]) if code else self.table(element)
        if found & NOTE_CLASSES:
            return self.note(element)
        if element.tag in {"h1", "h2", "h3", "h4", "h5", "h6", "summary"} or "rubric" in found:
            return f"**{heading_text(element)}**"
        return self._blocks(element)

    def items(self, element: etree._Element) -> Iterable[str]:
        """Yield a list's items, each with its mark."""
        if element.tag == "dl":
            for terms, body in entries(element):
                name = ", ".join(self.inline(term) for term in terms)
                text = self._blocks(body) if body is not None else ""
                yield f"- {name}\n  {_indented(text, 2)}" if text else f"- {name}"
            return
        start = element.get("start") or "1"
        number = int(start) if start.isdecimal() and len(start) < 10 else 1
        for item in element.findall("li"):
            mark = f"{number}. " if element.tag == "ol" else "- "
            number += 1
            if text := self._blocks(item):
                yield mark + _indented(text, len(mark))

    def note(self, element: etree._Element) -> str:
        """Return an admonition or a note on versions, its label first."""
        title = element.xpath(_NOTE_TITLE)
        label = " ".join("".join(title[0].itertext()).replace("¶", "").split()) if title else ""
        body = self._blocks(element)
        if not label:
            return body
        separator = "\n\n" if body.startswith(("```", "- ", "|")) else " "
        return f"**{label.rstrip(':')}:**{separator}{body}"

    def table(self, element: etree._Element) -> str:
        """Return a table in Markdown's form, a row a line."""
        rows: list[list[Cell]] = []
        has_header = False
        for row in element.iter("tr"):
            if next(row.iterancestors("table")) is not element:
                continue
            cells = [cell for cell in row if cell.tag in {"td", "th"}]
            if not rows:
                has_header = bool(cells) and all(cell.tag == "th" for cell in cells)
            rows.append([self._cell(cell) for cell in cells])
        caption = element.find("caption")
        title = self.inline(caption) if caption is not None else ""
        return (f"{title}\n\n" if title else "") + table_text(spread(rows), has_header=has_header)

    def _cell(self, cell: etree._Element) -> Cell:
        return Cell(self._blocks(cell), _span(cell, "rowspan"), _span(cell, "colspan"))


def _paragraph(run: list[str]) -> Iterator[str]:
    text = " ".join("".join(run).split())
    if text and text != "¶":
        yield text


def _indented(text: str, width: int) -> str:
    return re.sub(r"\n(?!\n)", "\n" + " " * width, text)


def _span(cell: etree._Element, name: str) -> int:
    value = cell.get(name) or "1"
    return max(1, int(value)) if value.isdecimal() and len(value) < 5 else 1
