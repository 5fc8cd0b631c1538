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

from mundap.library.parsing.page import Kind, Page, PageContext, PageWriter
from mundap.library.parsing.tables import table_text

VERSION = 1
SUFFIXES = (".md", ".markdown", ".mdown", ".mkd")


def parse(source: str, context: PageContext) -> Page:
    """Return the page; a front matter's title stands in where there is no heading."""
    root = SyntaxTreeNode(_reader().parse(source))
    walker = _Walker(context)
    walker.walk(root.children)
    return walker.writer.finish(walker.front_title)


@cache
def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    return reader.use(front_matter_plugin).use(deflist_plugin).use(admon_plugin)


def heading_anchor(text: str, *, style: str) -> str:
    """Return a heading's anchor as `sphinx` (MyST), `mkdocs` or `github` makes it."""
    if style == "sphinx":
        return str(make_id(text))
    if style == "mkdocs":
        plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
        return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


class _Walker:
    """Goes through markdown-it's tree in reading order and writes the page."""

    def __init__(self, context: PageContext) -> None:
        self.writer = PageWriter()
        self.front_title = ""
        self._style = str(context.settings.get("anchors") or "github")
        self._used: Counter[str] = Counter()

    def walk(self, nodes: Iterable[SyntaxTreeNode]) -> None:
        """Write these nodes."""
        for node in nodes:
            self._visit(node)

    def _visit(self, node: SyntaxTreeNode) -> None:
        if node.type == "heading":
            self._heading(node)
        elif node.type == "front_matter":
            title = re.search(r"^title:\s*(.+)$", node.content, re.MULTILINE)
            self.front_title = title[1].strip().strip("'\"") if title else ""
        elif node.type in {"fence", "code_block"}:
            kind = Kind.NOTE if _directive(node) in _NOTES else Kind.CODE
            self.writer.block(_block(node), kind=kind, language=_language(node))
        elif node.type in {"bullet_list", "ordered_list", "dl"}:
            for number, item in enumerate(_items(node)):
                is_tight = number > 0 and "\n\n" not in item
                self.writer.block(item, kind=Kind.LIST, is_tight=is_tight)
        elif node.type == "table":
            self.writer.block(_table(node), kind=Kind.TABLE)
        elif node.type == "admonition":
            self.writer.block(_block(node), kind=Kind.NOTE)
        elif node.type == "blockquote":
            self.walk(node.children)
        else:
            self.writer.block(_block(node))

    def _heading(self, node: SyntaxTreeNode) -> None:
        text = _plain(node)
        named = re.search(r"\s*\{[^{}]*#([\w.:-]+)[^{}]*\}$", text)
        if named:
            text = text[: named.start()]
        anchor = named[1] if named else self._unique(heading_anchor(text, style=self._style))
        self.writer.heading(text, level=int(node.tag[1]), anchor=anchor)

    def _unique(self, anchor: str) -> str:
        self._used[anchor] += 1
        count = self._used[anchor] - 1
        if not count:
            return anchor
        if self._style == "sphinx":
            return f"id{sum(each - 1 for each in self._used.values())}"
        return f"{anchor}{'_' if self._style == 'mkdocs' else '-'}{count}"


def _pieces(node: SyntaxTreeNode, *, is_code_marked: bool) -> Iterable[str]:
    if node.type == "text":
        yield node.content
    elif node.type in {"softbreak", "hardbreak"}:
        yield "\n"
    elif node.type == "code_inline":
        is_marked = is_code_marked and "`" not in node.content
        yield f"`{node.content}`" if is_marked else node.content
    elif node.type == "html_inline":
        return
    elif node.type == "image":
        yield node.content
    else:
        for child in node.children:
            yield from _pieces(child, is_code_marked=is_code_marked)


def _inline(node: SyntaxTreeNode) -> str:
    return " ".join("".join(_pieces(node, is_code_marked=True)).split())


def _plain(node: SyntaxTreeNode) -> str:
    return " ".join("".join(_pieces(node, is_code_marked=False)).split())


def _blocks(nodes: Iterable[SyntaxTreeNode]) -> str:
    return "\n\n".join(text for text in map(_block, nodes) if text.strip())


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


def _block(node: SyntaxTreeNode) -> str:
    if node.type in {"fence", "code_block"}:
        if _directive(node) in _NOTES:
            body = _blocks(SyntaxTreeNode(_reader().parse(node.content)).children)
            return f"**{_directive(node).capitalize()}:** {body}"
        fence = "````" if "```" in node.content else "```"
        return f"{fence}{_language(node)}\n{node.content.rstrip()}\n{fence}"
    if node.type in {"bullet_list", "ordered_list", "dl"}:
        items = list(_items(node))
        return ("\n\n" if any("\n\n" in item for item in items) else "\n").join(items)
    if node.type == "table":
        return _table(node)
    if node.type == "admonition":
        label = next(
            (_plain(each) for each in node.children if each.type == "admonition_title"), ""
        )
        rest = [each for each in node.children if each.type != "admonition_title"]
        return f"**{label or 'Note'}:** {_blocks(rest)}"
    if node.type == "html_block":
        return " ".join(re.sub(r"<!--.*?-->|<[^>]*>", " ", node.content, flags=re.DOTALL).split())
    if node.type == "heading":
        return f"**{_plain(node)}**"
    if node.type in {"paragraph", "inline", "dt"}:
        return _inline(node)
    return _blocks(node.children)


def _items(node: SyntaxTreeNode) -> Iterable[str]:
    """Yield a list's items, each with its mark."""
    if node.type == "dl":
        names: list[str] = []
        for child in node.children:
            if child.type == "dt":
                names.append(_inline(child))
                continue
            yield f"- {', '.join(names)}\n  {_indented(_blocks(child.children), 2)}"
            names = []
        return
    number = int(node.attrs.get("start", 1)) if node.type == "ordered_list" else 1
    for item in node.children:
        mark = f"{number}. " if node.type == "ordered_list" else "- "
        number += 1
        yield mark + _indented(_blocks(item.children), len(mark))


def _indented(text: str, width: int) -> str:
    return re.sub(r"\n(?!\n)", "\n" + " " * width, text)


def _table(node: SyntaxTreeNode) -> str:
    rows = [
        [_inline(cell) for cell in row.children] for part in node.children for row in part.children
    ]
    return table_text(rows, has_header=True)
