"""reStructuredText, plain or of a Sphinx project, by docutils and the directives and roles beside."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from docutils import frontend, nodes
from docutils.parsers.rst import Parser
from docutils.utils import new_document

from mundap.library.parsing.lazy_states import LazyParser
from mundap.library.parsing.page import Kind, Page, PageContext, PageWriter
from mundap.library.parsing.sphinx_directives import (
    ReadingState,
    definition,
    included_file,
    register_unknown,
    version_note,
)
from mundap.library.parsing.sphinx_roles import SphinxInliner, document_key
from mundap.library.parsing.tables import Cell, spread, table_text

VERSION = 1
SUFFIXES = (".rst", ".rest")


def parse(source: str, context: PageContext) -> Page:
    """Return the page; markup errors are passed over, as a reader would."""
    prolog, epilog = (context.settings.get(name) or "" for name in ("rst_prolog", "rst_epilog"))
    whole = f"{prolog}\n{source}\n{epilog}" if prolog or epilog else source
    register_unknown(whole)
    settings = _settings().copy()
    settings.reading = ReadingState(context)
    document = new_document(context.path, settings)
    LazyParser(SphinxInliner()).parse(whole, document)
    walker = _Walker(document, context)
    walker.walk(document.children, level=1)
    return walker.writer.finish()


@cache
def _settings() -> Any:
    settings = frontend.get_default_settings(Parser)
    settings.report_level = settings.halt_level = 5  # nothing is reported, nothing stops
    settings.warning_stream = False
    settings.auto_id_prefix = "id"  # as Sphinx has it
    settings.file_insertion_enabled = settings.raw_enabled = False
    settings.line_length_limit = 1_000_000
    settings.smart_quotes = False
    settings.pep_references = settings.rfc_references = False
    return settings


_TITLE = r"""(?:(?P<over>[=\-~^"'`*+\#<>.:_])(?P=over)*[ ]*\n)?
        [ ]?(?P<title>\S[^\n]*)\n
        (?P<line>(?P<under>[=\-~^"'`*+\#<>.:_])(?P=under)*)[ ]*$"""
_LABELLED_TITLE = re.compile(
    r"""^\.\.[ ]_(?P<label>[^\n]+?):[ ]*\n
        (?P<between>(?:[ \t]*\n|\.\.[ ][^\n]*\n|[ ]+:[^\n]*\n)*)"""
    + _TITLE,
    re.MULTILINE | re.VERBOSE,
)
_ANY_TITLE = re.compile("^" + _TITLE, re.MULTILINE | re.VERBOSE)
_ROLE_IN_TITLE = re.compile(r":[\w:+-]+:`(?:[^`<]*<([^`>]*)>|[~!]?([^`]*))`|``([^`]*)``")


def titles(source: str, path: str) -> dict[str, str]:
    """Return what links to this page show: label → title, and `/document` → title."""
    found: dict[str, str] = {}
    for match in filter(_is_title, _LABELLED_TITLE.finditer(source)):
        labels = [match["label"], *re.findall(r"^\.\. _(.+?):\s*$", match["between"], re.MULTILINE)]
        for label in labels:
            found[" ".join(label.strip("`").lower().split())] = _bare(match["title"])
    if first := next(filter(_is_title, _ANY_TITLE.finditer(source)), None):
        found["/" + posixpath.splitext(path)[0]] = _bare(first["title"])
    return found


def _is_title(match: re.Match[str]) -> bool:
    """Is the line under it long enough? docutils takes four characters for a title of any length."""
    return len(match["line"]) >= min(4, len(match["title"].rstrip()))


def _bare(title: str) -> str:
    title = _ROLE_IN_TITLE.sub(lambda match: match[1] or match[2] or match[3], title)
    return re.sub(r"(?<!\w)(\*{1,2})(\S(?:.*?\S)?)\1(?!\w)", r"\2", title).replace("\\", "").strip()


_LINK = re.compile(r":(ref|doc):`(?:[^`<]*<([^`>]+)>|([^`<>]+))`")
_INCLUDED = re.compile(r"^\s*\.\. +(?:literal)?include:: +(\S+)", re.MULTILINE)


def depends_on(source: str, context: PageContext) -> Iterable[bytes]:
    """Yield what this page shows of other files, so that its hash changes when they do."""
    for role, explicit, plain in _LINK.findall(source):
        target = explicit or plain
        key = (
            document_key(target, context.path)
            if role == "doc"
            else " ".join(target.lower().split())
        )
        yield context.titles.get(key, "").encode()
    for name in _INCLUDED.findall(source):
        file = included_file(context, name)
        yield file.read_bytes() if file else b""


class _Walker:
    """Goes through docutils' tree in reading order and writes the page."""

    def __init__(self, document: nodes.document, context: PageContext) -> None:
        self.writer = PageWriter()
        self.document = document
        self.context = context
        self.inline = _Inline(document, context)
        # Anchors that stand before a section and so are its own; the named ones come first.
        self._waiting: list[str] = []
        self._visitors: dict[type[nodes.Node], Callable[[Any, int], None]] = {
            nodes.section: self._section,
            nodes.target: self._target,
            nodes.paragraph: self._paragraph,
            nodes.rubric: self._rubric,
            nodes.literal_block: self._code,
            nodes.doctest_block: self._code,
            nodes.math_block: self._code,
            nodes.bullet_list: self._list,
            nodes.enumerated_list: self._list,
            nodes.definition_list: self._list,
            nodes.field_list: self._list,
            nodes.option_list: self._list,
            nodes.line_block: self._line_block,
            nodes.table: self._table,
            definition: self._definition,
            version_note: self._note,
        }

    def walk(self, children: Iterable[nodes.Node], *, level: int) -> None:
        """Write these nodes; `level` is the heading level of a section among them."""
        for node in children:
            self._visit(node, level)

    def _visit(self, node: nodes.Node, level: int) -> None:
        visitor = self._visitors.get(type(node))
        if visitor is not None:
            visitor(node, level)
        elif isinstance(node, nodes.Admonition) and isinstance(node, nodes.Element):
            self._note(node, level)
        elif isinstance(node, (nodes.footnote, nodes.citation)):
            self.writer.block(_footnote(node, self.inline))
        elif isinstance(node, _SKIPPED):
            return
        elif isinstance(node, nodes.TextElement):
            self._paragraph(node, level)
        elif isinstance(node, nodes.Element):
            self.walk(node.children, level=level)

    def _section(self, node: nodes.section, level: int) -> None:
        title = node.next_node(nodes.title)
        heading = self.inline.heading(title) if title is not None else ""
        self.writer.heading(heading, level=level, anchor=self._anchor_of(node))
        self._waiting = []
        self.walk((child for child in node.children if child is not title), level=level + 1)

    def _anchor_of(self, section: nodes.section) -> str:
        """Return the published id that is likeliest to stay: a name given by hand before `id3`."""
        own = section["ids"][0] if section["ids"] else ""
        named = [each for each in self._waiting if each.startswith("std-")]
        if named:
            return named[-1]
        if re.fullmatch(r"id\d+", own) and self._waiting:
            return self._waiting[-1]
        return str(own)

    def _target(self, node: nodes.target, level: int) -> None:
        is_link = any(node.hasattr(name) for name in ("refid", "refuri", "refname"))
        if not is_link and not node.get("anonymous"):
            self._waiting.extend(node["ids"])

    def _paragraph(self, node: nodes.Element, level: int) -> None:
        self._waiting = []
        self.writer.block(self.inline.text(node))

    def _rubric(self, node: nodes.Element, level: int) -> None:
        self.writer.block(f"**{self.inline.text(node)}**")

    def _code(self, node: nodes.Element, level: int) -> None:
        self._waiting = []
        language = _language(node)
        self.writer.block(_fenced(node), kind=Kind.CODE, language=language)

    def _list(self, node: nodes.Element, level: int) -> None:
        self._waiting = []
        is_first = True
        for item in _items(node, self.inline):
            self.writer.block(item, kind=Kind.LIST, is_tight=not is_first and "\n\n" not in item)
            is_first = False

    def _line_block(self, node: nodes.Element, level: int) -> None:
        self.writer.block(_lines(node, self.inline))

    def _table(self, node: nodes.Element, level: int) -> None:
        self._waiting = []
        self.writer.block(_table(node, self.inline), kind=Kind.TABLE)

    def _note(self, node: nodes.Element, level: int) -> None:
        self._waiting = []
        self.writer.block(_note(node, self.inline), kind=Kind.NOTE)

    def _definition(self, node: nodes.Element, level: int) -> None:
        anchor = (node["ids"] or self._waiting or [""])[0]
        self._waiting = []
        has_content = any(not isinstance(child, nodes.Invisible) for child in node.children)
        self.writer.definition(
            node["name"],
            signatures=node["signatures"],
            anchor=anchor,
            is_flat=not has_content,
            is_code=not node.get("is_term"),
        )
        if has_content:
            self.walk(node.children, level=level)
            self.writer.end_definition()


_SKIPPED = (
    nodes.Invisible, nodes.system_message, nodes.transition, nodes.raw, nodes.docinfo,
    nodes.decoration, nodes.generated, nodes.image, nodes.title,
)  # fmt: skip


class _Inline:
    """Inline markup as plain text: code in backticks, links as their text."""

    def __init__(self, document: nodes.document, context: PageContext) -> None:
        self._document = document
        self._settings = context.settings
        self._depth = 0

    def text(self, node: nodes.Node) -> str:
        """Return a node's text on one line."""
        return " ".join("".join(self._pieces(node, is_code_marked=True)).split())

    def heading(self, node: nodes.Node) -> str:
        """Return a heading's text, without any markup."""
        return " ".join("".join(self._pieces(node, is_code_marked=False)).split())

    def _pieces(self, node: nodes.Node, *, is_code_marked: bool) -> Iterable[str]:
        if isinstance(node, nodes.Text):
            yield str(node)
        elif isinstance(node, (nodes.literal, nodes.math)):
            text = node.astext()
            yield f"`{text}`" if is_code_marked and text.strip() and "`" not in text else text
        elif isinstance(node, nodes.substitution_reference):
            yield self._substitution(node, is_code_marked=is_code_marked)
        elif isinstance(node, (nodes.footnote_reference, nodes.citation_reference)):
            yield f" [{node.astext()}]" if node.astext() else ""
        elif isinstance(node, nodes.image):
            yield str(node.get("alt", ""))
        elif isinstance(node, (nodes.raw, nodes.system_message, nodes.substitution_definition)):
            return
        else:
            for child in node.children:
                yield from self._pieces(child, is_code_marked=is_code_marked)

    def _substitution(self, node: nodes.substitution_reference, *, is_code_marked: bool) -> str:
        name = str(node.get("refname", node.astext()))
        found = self._document.substitution_defs
        value = found.get(name) or found.get(
            self._document.substitution_names.get(name.lower(), name)
        )
        if value is None or self._depth > 5:
            shown = self._settings.get(name)
            return shown if isinstance(shown, str) else node.astext()
        self._depth += 1
        try:
            pieces = (self._pieces(each, is_code_marked=is_code_marked) for each in value.children)
            return "".join("".join(each) for each in pieces)
        finally:
            self._depth -= 1


def _blocks(node: nodes.Element, inline: _Inline) -> str:
    """Return a node's children as text, each block a paragraph of its own."""
    parts = [_block(child, inline) for child in node.children]
    return "\n\n".join(part for part in parts if part.strip())


def _block(node: nodes.Node, inline: _Inline) -> str:
    """Return one block that stands inside a list, a table or a note."""
    if isinstance(node, (nodes.literal_block, nodes.doctest_block, nodes.math_block)):
        return _fenced(node)
    if isinstance(node, nodes.line_block):
        return _lines(node, inline)
    if isinstance(node, _LISTS):
        items = list(_items(node, inline))
        return ("\n\n" if any("\n\n" in item for item in items) else "\n").join(items)
    if isinstance(node, nodes.table):
        return _table(node, inline)
    if isinstance(node, (nodes.Admonition, version_note)):
        return _note(node, inline)
    if isinstance(node, (nodes.footnote, nodes.citation)):
        return _footnote(node, inline)
    if isinstance(node, definition):
        shown = "\n".join(f"`{each}`" for each in node["signatures"])
        return f"{shown}\n\n{_blocks(node, inline)}".strip()
    if isinstance(node, _SKIPPED):
        return ""
    if isinstance(node, nodes.TextElement):
        return inline.text(node)
    return _blocks(node, inline) if isinstance(node, nodes.Element) else ""


_LISTS = (
    nodes.bullet_list, nodes.enumerated_list, nodes.definition_list, nodes.field_list,
    nodes.option_list,
)  # fmt: skip


_BODIES = (nodes.definition, nodes.field_body, nodes.description)


def _language(node: nodes.Element) -> str:
    language = str(node.get("language", ""))
    classes: list[str] = node.get("classes", [])
    if not language and "code" in classes:
        named = [each for each in classes if each not in {"code", "literal-block"}]
        language = named[0] if named else ""
    if isinstance(node, nodes.doctest_block):
        language = "pycon"
    if isinstance(node, nodes.math_block):
        language = "latex"
    return language if re.fullmatch(r"[\w+#.-]+", language) else ""


def _fenced(node: nodes.Element) -> str:
    code = node.astext().rstrip()
    fence = "````" if "```" in code else "```"
    caption = f"`{node['caption']}`:\n" if node.get("caption") else ""
    return f"{caption}{fence}{_language(node)}\n{code}\n{fence}"


def _items(node: nodes.Element, inline: _Inline) -> Iterable[str]:
    """Yield a list's items, each with its mark."""
    start = int(node.get("start", 1)) if isinstance(node, nodes.enumerated_list) else 1
    for number, item in enumerate(node.children, start):
        if isinstance(item, nodes.list_item):
            mark = f"{number}. " if isinstance(node, nodes.enumerated_list) else "- "
            yield mark + _indented(_blocks(item, inline), len(mark))
        elif isinstance(item, (nodes.definition_list_item, nodes.field, nodes.option_list_item)):
            children: list[Any] = list(item.children)
            bodies = [each for each in children if isinstance(each, _BODIES)]
            names = [each for each in children if not isinstance(each, _BODIES)]
            label = ", ".join(inline.text(each) for each in names)
            text = "\n\n".join(_blocks(body, inline) for body in bodies)
            label += ":" if isinstance(item, nodes.field) else ""
            yield f"- {label}\n  {_indented(text, 2)}" if text else f"- {label}"


def _indented(text: str, width: int) -> str:
    return re.sub(r"\n(?!\n)", "\n" + " " * width, text)


def _lines(node: nodes.Element, inline: _Inline) -> str:
    lines = []
    for child in node.children:
        if isinstance(child, nodes.line_block):
            lines.append(_lines(child, inline))
        else:
            lines.append(inline.text(child))
    return "\n".join(lines)


def _note(node: nodes.Element, inline: _Inline) -> str:
    if isinstance(node, version_note):
        label, children = node["label"], node.children
    elif isinstance(node, nodes.admonition):
        label = inline.text(node.children[0]) if node.children else "Note"
        children = node.children[1:]
    else:
        label, children = node.tagname.capitalize(), node.children
    body = "\n\n".join(part for part in (_block(each, inline) for each in children) if part)
    if not body:
        return f"**{label}**"
    separator = "\n\n" if body.startswith(("```", "- ", "|")) else " "
    return f"**{label.rstrip(':')}:**{separator}{body}"


def _footnote(node: nodes.Element, inline: _Inline) -> str:
    label = node.next_node(nodes.label)
    shown = label.astext() if label is not None else "*"
    rest = [child for child in node.children if not isinstance(child, nodes.label)]
    return f"[{shown}] " + "\n\n".join(filter(None, (_block(each, inline) for each in rest)))


def _table(node: nodes.Element, inline: _Inline) -> str:
    """Return a table in Markdown's form, a row a line."""
    rows: list[list[Cell]] = []
    has_header = False
    parts: list[Any] = [
        each for each in node.findall() if isinstance(each, (nodes.thead, nodes.tbody))
    ]
    for part in parts:
        has_header = has_header or isinstance(part, nodes.thead)
        rows.extend([_cell(entry, inline) for entry in row.children] for row in part.children)
    title = next((inline.text(each) for each in node.children if isinstance(each, nodes.title)), "")
    return (f"{title}\n\n" if title else "") + table_text(spread(rows), has_header=has_header)


def _cell(entry: Any, inline: _Inline) -> Cell:
    more_rows, more_columns = int(entry.get("morerows", 0)), int(entry.get("morecols", 0))
    return Cell(_blocks(entry, inline), more_rows + 1, more_columns + 1)
