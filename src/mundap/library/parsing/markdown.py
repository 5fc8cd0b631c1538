"""Markdown: CommonMark with tables, definition lists, front matter and the notes of MkDocs and MyST."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache

from docutils.nodes import make_id
from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode
from mdit_py_plugins.admon import admon_plugin
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.front_matter import front_matter_plugin

from mundap.library.parsing.links import LinkMarks
from mundap.library.parsing.page import Kind, Page, PageContext, PageWriter
from mundap.library.parsing.tables import table_text

VERSION = 2
SUFFIXES = (".md", ".markdown", ".mdown", ".mkd")

_NOTES = {
    "note",
    "warning",
    "tip",
    "important",
    "caution",
    "hint",
    "seealso",
    "attention",
    "danger",
}


def parse(source: str, context: PageContext) -> Page:
    """Return the page; a front matter's title stands in where there is no heading."""
    walker = MarkdownWalker(context)
    walker.read(source)
    return walker.writer.finish(walker.front_title)


@cache
def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    return reader.use(front_matter_plugin).use(deflist_plugin).use(admon_plugin)


def heading_anchor(text: str, *, style: str) -> str:
    """Return a heading's anchor as `sphinx` (MyST), `mkdocs`, `jupyter` or `github` makes it."""
    if style == "sphinx":
        return str(make_id(text))
    if style == "jupyter":
        return text.strip().replace(" ", "-")
    if style == "mkdocs":
        plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
        return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


class MarkdownWalker:
    """Goes through markdown-it's tree in reading order and writes the page; several texts may be read in a row."""

    def __init__(self, context: PageContext, *, style: str = "github") -> None:
        links = LinkMarks(context.url)
        self.writer = PageWriter(links)
        self.front_title = ""
        self._text = _MarkdownText(links)
        self._style = str(context.settings.get("anchors") or style)
        self._used: Counter[str] = Counter()

    def read(self, source: str) -> None:
        """Write what this text says."""
        self._walk(SyntaxTreeNode(_reader().parse(source)).children)

    def _walk(self, nodes: Iterable[SyntaxTreeNode]) -> None:
        for node in nodes:
            self._visit(node)

    def _visit(self, node: SyntaxTreeNode) -> None:
        kind = node.type
        text = self._text
        if kind == "heading":
            self._heading(node)
        elif kind == "front_matter":
            title = re.search(r"^title:[ \t]*(\S.*)$", node.content, re.MULTILINE)
            self.front_title = title[1].strip().strip("'\"") if title else ""
        elif kind in {"fence", "code_block"}:
            shown = Kind.NOTE if _directive(node) in _NOTES else Kind.CODE
            self.writer.block(text.block(node), kind=shown, language=_language(node))
        elif kind in {"bullet_list", "ordered_list", "dl"}:
            for number, item in enumerate(text.items(node)):
                is_tight = number > 0 and "\n\n" not in item
                self.writer.block(item, kind=Kind.LIST, is_tight=is_tight)
        elif kind == "table":
            self.writer.block(text.table(node), kind=Kind.TABLE)
        elif kind == "admonition":
            self.writer.block(text.block(node), kind=Kind.NOTE)
        elif kind == "blockquote":
            self._walk(node.children)
        else:
            self.writer.block(text.block(node))

    def _heading(self, node: SyntaxTreeNode) -> None:
        text = _plain(node)
        named = re.search(r"\{[^{}]*#([\w.:-]+)[^{}]*\}$", text[-200:])
        if named:
            text = text[: len(text) - len(named[0])].rstrip()
        anchor = named[1] if named else self._unique(heading_anchor(text, style=self._style))
        self.writer.heading(text, level=int(node.tag[1]), anchor=anchor)

    def _unique(self, anchor: str) -> str:
        self._used[anchor] += 1
        count = self._used[anchor] - 1
        if not count or self._style == "jupyter":
            return anchor
        if self._style == "sphinx":
            return f"id{sum(each - 1 for each in self._used.values())}"
        return f"{anchor}{'_' if self._style == 'mkdocs' else '-'}{count}"


def _plain(node: SyntaxTreeNode) -> str:
    """Return a heading's text, without any markup and links."""
    return " ".join("".join(_plain_pieces(node)).split())


def _plain_pieces(node: SyntaxTreeNode) -> Iterable[str]:
    kind = node.type
    if kind in {"text", "code_inline", "image"}:
        yield node.content
    elif kind in {"softbreak", "hardbreak"}:
        yield "\n"
    elif kind != "html_inline":
        for child in node.children:
            yield from _plain_pieces(child)


def _directive(node: SyntaxTreeNode) -> str:
    """Return the MyST directive that a fence is, such as `note`, or nothing."""
    match = re.match(r"\{([\w:-]+)\}", node.info) if node.type == "fence" else None
    return match[1] if match else ""


def _language(node: SyntaxTreeNode) -> str:
    if node.type != "fence":
        return ""
    if _directive(node) in {"code-block", "code", "sourcecode", "code-cell"}:
        return node.info.partition("}")[2].strip().partition(" ")[0]
    match = re.match(r"\{?\.?([\w+#.-]+)", node.info.strip())
    return match[1] if match and not _directive(node) else ""


class _MarkdownText:
    """Nodes as readable text; links keep the marks of where they lead."""

    def __init__(self, links: LinkMarks) -> None:
        self._links = links

    def inline(self, node: SyntaxTreeNode) -> str:
        """Return a node's text on one line, code in backticks."""
        return " ".join("".join(self._pieces(node)).split())

    def _pieces(self, node: SyntaxTreeNode) -> Iterable[str]:
        kind = node.type
        if kind in {"text", "image"}:
            yield node.content
        elif kind in {"softbreak", "hardbreak"}:
            yield "\n"
        elif kind == "code_inline":
            yield node.content if "`" in node.content else f"`{node.content}`"
        elif kind == "html_inline":
            return
        elif kind == "link":
            words = "".join(piece for child in node.children for piece in self._pieces(child))
            yield self._links.marked(words, str(node.attrs.get("href", "")))
        else:
            for child in node.children:
                yield from self._pieces(child)

    def block(self, node: SyntaxTreeNode) -> str:
        """Return one block."""
        kind = node.type
        if kind in {"fence", "code_block"}:
            if _directive(node) in _NOTES:
                inner = SyntaxTreeNode(_reader().parse(node.content)).children
                return f"**{_directive(node).capitalize()}:** {self._blocks(inner)}"
            fence = "````" if "```" in node.content else "```"
            return f"{fence}{_language(node)}\n{node.content.rstrip()}\n{fence}"
        if kind in {"bullet_list", "ordered_list", "dl"}:
            items = list(self.items(node))
            return ("\n\n" if any("\n\n" in item for item in items) else "\n").join(items)
        if kind == "table":
            return self.table(node)
        if kind == "admonition":
            label = next(
                (_plain(each) for each in node.children if each.type == "admonition_title"), ""
            )
            rest = [each for each in node.children if each.type != "admonition_title"]
            return f"**{label or 'Note'}:** {self._blocks(rest)}"
        if kind == "html_block":
            return " ".join(_without_tags(node.content).split())
        if kind == "heading":
            return f"**{_plain(node)}**"
        if kind in {"paragraph", "inline", "dt"}:
            return self.inline(node)
        return self._blocks(node.children)

    def _blocks(self, nodes: Iterable[SyntaxTreeNode]) -> str:
        return "\n\n".join(text for text in map(self.block, nodes) if text.strip())

    def items(self, node: SyntaxTreeNode) -> Iterable[str]:
        """Yield a list's items, each with its mark."""
        if node.type == "dl":
            names: list[str] = []
            for child in node.children:
                if child.type == "dt":
                    names.append(self.inline(child))
                    continue
                yield f"- {', '.join(names)}\n  {_indented(self._blocks(child.children), 2)}"
                names = []
            return
        number = int(node.attrs.get("start", 1)) if node.type == "ordered_list" else 1
        for item in node.children:
            mark = f"{number}. " if node.type == "ordered_list" else "- "
            number += 1
            yield mark + _indented(self._blocks(item.children), len(mark))

    def table(self, node: SyntaxTreeNode) -> str:
        """Return a table in Markdown's form, a row a line."""
        rows = [
            [self.inline(cell) for cell in row.children]
            for part in node.children
            for row in part.children
        ]
        return table_text(rows, has_header=True)


def _indented(text: str, width: int) -> str:
    return re.sub(r"\n(?!\n)", "\n" + " " * width, text)


def _without_tags(html: str) -> str:
    """Return the words of raw HTML; each character is looked at once, however many tags stay open."""
    parts: list[str] = []
    position = 0
    ends = {"-->": 0, ">": 0}  # where the next end was found; -1: there is no further one
    while (start := html.find("<", position)) >= 0:
        parts.append(html[position:start])
        position = start
        for end in ("-->", ">") if html.startswith("<!--", start) else (">",):
            if 0 <= ends[end] <= start:
                ends[end] = html.find(end, start + 1)
            if ends[end] > 0:
                parts.append(" ")
                position = ends[end] + len(end)
                break
        else:
            parts.append("<")
            position = start + 1
    parts.append(html[position:])
    return "".join(parts)
