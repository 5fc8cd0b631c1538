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

from mundap.library.parsing.docutils_text import (
    SKIPPED,
    InlineText,
    code_language,
    fenced_code,
    footnote_text,
    lines_text,
    list_items,
    note_text,
    table_of,
)
from mundap.library.parsing.lazy_states import LazyParser
from mundap.library.parsing.links import LinkMarks
from mundap.library.parsing.page import Kind, Page, PageContext, PageWriter
from mundap.library.parsing.sphinx_directives import included_file, register_unknown
from mundap.library.parsing.sphinx_reading import ReadingState, definition, version_note
from mundap.library.parsing.sphinx_roles import SphinxInliner, document_key

VERSION = 3
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


MAX_TITLE = 1000
_TITLE = r"""(?:(?P<over>[=\-~^"'`*+\#<>.:_])(?P=over)*[ ]*\n)?
        [ ]?(?P<title>\S[^\n]*)\n
        (?P<line>(?P<under>[=\-~^"'`*+\#<>.:_])(?P=under)*)[ ]*$"""
_LABELLED_TITLE = re.compile(
    r"""^\.\.[ ]_(?P<label>[^\n]+?):[ ]*\n
        (?P<between>(?:[ \t]*\n|\.\.[ ][^\n]*\n|[ ]+:[^\n]*\n){0,30})"""
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
    title = match["title"].rstrip()
    return len(title) <= MAX_TITLE and len(match["line"]) >= min(4, len(title))


def _bare(title: str) -> str:
    title = _ROLE_IN_TITLE.sub(lambda match: match[1] or match[2] or match[3], title)
    return re.sub(r"(?<!\w)(\*{1,2})(\S(?:.*?\S)?)\1(?!\w)", r"\2", title).replace("\\", "").strip()


_LINK = re.compile(r":(ref|doc):`(?:[^`<]*<([^`>]+)>|([^`<>]+))`")
_INCLUDED = re.compile(r"^[ \t]*\.\. +(?:literal)?include:: +(\S+)", re.MULTILINE)


def depends_on(source: str, context: PageContext) -> Iterable[bytes]:
    """Yield the titles of other pages that this one shows, so that its hash changes when they do."""
    for role, explicit, plain in _LINK.findall(source):
        target = explicit or plain
        key = (
            document_key(target, context.path)
            if role == "doc"
            else " ".join(target.lower().split())
        )
        yield context.titles.get(key, "").encode()


def includes(source: str, context: PageContext) -> Iterable[str]:
    """Yield the paths of the files that this page includes, below the source's root."""
    for name in _INCLUDED.findall(source):
        file = included_file(context, name)
        if file:
            yield file.relative_to(context.root.resolve()).as_posix()


class _Walker:
    """Goes through docutils' tree in reading order and writes the page."""

    def __init__(self, document: nodes.document, context: PageContext) -> None:
        links = LinkMarks(context.url)
        self.writer = PageWriter(links)
        self.document = document
        self.context = context
        self.inline = InlineText(document, context, links)
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
            self.writer.block(footnote_text(node, self.inline))
        elif isinstance(node, SKIPPED):
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
        language = code_language(node)
        self.writer.block(fenced_code(node), kind=Kind.CODE, language=language)

    def _list(self, node: nodes.Element, level: int) -> None:
        self._waiting = []
        is_first = True
        for item in list_items(node, self.inline):
            self.writer.block(item, kind=Kind.LIST, is_tight=not is_first and "\n\n" not in item)
            is_first = False

    def _line_block(self, node: nodes.Element, level: int) -> None:
        self.writer.block(lines_text(node, self.inline))

    def _table(self, node: nodes.Element, level: int) -> None:
        self._waiting = []
        self.writer.block(table_of(node, self.inline), kind=Kind.TABLE)

    def _note(self, node: nodes.Element, level: int) -> None:
        self._waiting = []
        self.writer.block(note_text(node, self.inline), kind=Kind.NOTE)

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
