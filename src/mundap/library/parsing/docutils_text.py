"""docutils' nodes as readable text: inline markup, and blocks that stand inside lists, tables and notes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from docutils import nodes

from mundap.library.parsing.links import LinkMarks
from mundap.library.parsing.page import PageContext
from mundap.library.parsing.sphinx_reading import definition, version_note
from mundap.library.parsing.tables import Cell, spread, table_text

SKIPPED = (
    nodes.Invisible, nodes.system_message, nodes.transition, nodes.raw, nodes.docinfo,
    nodes.decoration, nodes.generated, nodes.image, nodes.title,
)  # fmt: skip


class InlineText:
    """Inline markup as plain text: code in backticks, links as their text between marks of where they lead."""

    def __init__(
        self, document: nodes.document, context: PageContext, links: LinkMarks | None = None
    ) -> None:
        self._document = document
        self._links = links or LinkMarks(context.url)
        self._anonymous: dict[int, str] | None = None
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
            yield node.astext()  # without the marks that escapes leave in it
        elif isinstance(node, (nodes.literal, nodes.math)):
            text = node.astext()
            yield f"`{text}`" if is_code_marked and text.strip() and "`" not in text else text
        elif isinstance(node, nodes.substitution_reference):
            yield self._substitution(node, is_code_marked=is_code_marked)
        elif isinstance(node, (nodes.footnote_reference, nodes.citation_reference)):
            yield f" [{node.astext()}]" if node.astext() else ""
        elif isinstance(node, nodes.image):
            yield str(node.get("alt", ""))
        elif isinstance(node, nodes.reference) and is_code_marked:
            pieces = (self._pieces(each, is_code_marked=True) for each in node.children)
            words = "".join("".join(each) for each in pieces)
            yield self._links.marked(words, self._target(node))
        elif isinstance(node, (nodes.raw, nodes.system_message, nodes.substitution_definition)):
            return
        else:
            for child in node.children:
                yield from self._pieces(child, is_code_marked=is_code_marked)

    def _target(self, reference: nodes.reference) -> str:
        """Return where a link leads: its own address, a named target's, or the next one without a name."""
        if address := reference.get("refuri"):
            return str(address)
        if reference.get("anonymous"):
            return self._anonymous_targets().get(id(reference), "")
        name = reference.get("refname", "")
        for _indirect in range(5):
            found = self._document.nameids.get(name)
            target = self._document.ids.get(found) if found else None
            if not isinstance(target, nodes.target) or "refname" not in target:
                break
            name = target["refname"]
        else:
            return ""
        if target is None:
            return ""
        is_elsewhere = isinstance(target, nodes.target) and "refuri" in target
        return str(target["refuri"]) if is_elsewhere else f"#{found}"

    def _anonymous_targets(self) -> dict[int, str]:
        """Return the addresses of links without a name, by node: the n-th belongs to the n-th `__` target."""
        if self._anonymous is None:
            links = [
                each
                for each in self._document.findall(nodes.reference)
                if each.get("anonymous") and "refuri" not in each
            ]
            targets = [
                str(each.get("refuri", ""))
                for each in self._document.findall(nodes.target)
                if each.get("anonymous")
            ]
            pairs = zip(map(id, links), targets, strict=False)
            self._anonymous = dict(pairs) if len(links) == len(targets) else {}
        return self._anonymous

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


def blocks_text(node: nodes.Element, inline: InlineText) -> str:
    """Return a node's children as text, each block a paragraph of its own."""
    parts = [block_text(child, inline) for child in node.children]
    return "\n\n".join(part for part in parts if part.strip())


def block_text(node: nodes.Node, inline: InlineText) -> str:
    """Return one block that stands inside a list, a table or a note."""
    if isinstance(node, (nodes.literal_block, nodes.doctest_block, nodes.math_block)):
        return fenced_code(node)
    if isinstance(node, nodes.line_block):
        return lines_text(node, inline)
    if isinstance(node, LISTS):
        items = list(list_items(node, inline))
        return ("\n\n" if any("\n\n" in item for item in items) else "\n").join(items)
    if isinstance(node, nodes.table):
        return table_of(node, inline)
    if isinstance(node, (nodes.Admonition, version_note)):
        return note_text(node, inline)
    if isinstance(node, (nodes.footnote, nodes.citation)):
        return footnote_text(node, inline)
    if isinstance(node, definition):
        shown = "\n".join(f"`{each}`" for each in node["signatures"])
        return f"{shown}\n\n{blocks_text(node, inline)}".strip()
    if isinstance(node, SKIPPED):
        return ""
    if isinstance(node, nodes.TextElement):
        return inline.text(node)
    return blocks_text(node, inline) if isinstance(node, nodes.Element) else ""


LISTS = (
    nodes.bullet_list, nodes.enumerated_list, nodes.definition_list, nodes.field_list,
    nodes.option_list,
)  # fmt: skip


_BODIES = (nodes.definition, nodes.field_body, nodes.description)


def code_language(node: nodes.Element) -> str:
    """Return the language of a code block, or nothing."""
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


def fenced_code(node: nodes.Element) -> str:
    """Return a code block between fences, after its caption."""
    code = node.astext().rstrip()
    fence = "````" if "```" in code else "```"
    caption = f"`{node['caption']}`:\n" if node.get("caption") else ""
    return f"{caption}{fence}{code_language(node)}\n{code}\n{fence}"


def list_items(node: nodes.Element, inline: InlineText) -> Iterable[str]:
    """Yield a list's items, each with its mark."""
    start = int(node.get("start", 1)) if isinstance(node, nodes.enumerated_list) else 1
    for number, item in enumerate(node.children, start):
        if isinstance(item, nodes.list_item):
            mark = f"{number}. " if isinstance(node, nodes.enumerated_list) else "- "
            yield mark + _indented(blocks_text(item, inline), len(mark))
        elif isinstance(item, (nodes.definition_list_item, nodes.field, nodes.option_list_item)):
            children: list[Any] = list(item.children)
            bodies = [each for each in children if isinstance(each, _BODIES)]
            names = [each for each in children if not isinstance(each, _BODIES)]
            label = ", ".join(inline.text(each) for each in names)
            text = "\n\n".join(blocks_text(body, inline) for body in bodies)
            label += ":" if isinstance(item, nodes.field) else ""
            yield f"- {label}\n  {_indented(text, 2)}" if text else f"- {label}"


def _indented(text: str, width: int) -> str:
    return re.sub(r"\n(?!\n)", "\n" + " " * width, text)


def lines_text(node: nodes.Element, inline: InlineText) -> str:
    """Return a line block, a line each."""
    lines = []
    for child in node.children:
        if isinstance(child, nodes.line_block):
            lines.append(lines_text(child, inline))
        else:
            lines.append(inline.text(child))
    return "\n".join(lines)


def note_text(node: nodes.Element, inline: InlineText) -> str:
    """Return an admonition or a note on versions, its label first."""
    if isinstance(node, version_note):
        label, children = node["label"], node.children
    elif isinstance(node, nodes.admonition):
        label = inline.text(node.children[0]) if node.children else "Note"
        children = node.children[1:]
    else:
        label, children = node.tagname.capitalize(), node.children
    body = "\n\n".join(part for part in (block_text(each, inline) for each in children) if part)
    if not body:
        return f"**{label}**"
    separator = "\n\n" if body.startswith(("```", "- ", "|")) else " "
    return f"**{label.rstrip(':')}:**{separator}{body}"


def footnote_text(node: nodes.Element, inline: InlineText) -> str:
    """Return a footnote or citation after its label."""
    label = node.next_node(nodes.label)
    shown = label.astext() if label is not None else "*"
    rest = [child for child in node.children if not isinstance(child, nodes.label)]
    return f"[{shown}] " + "\n\n".join(filter(None, (block_text(each, inline) for each in rest)))


def table_of(node: nodes.Element, inline: InlineText) -> str:
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


def _cell(entry: Any, inline: InlineText) -> Cell:
    more_rows, more_columns = int(entry.get("morerows", 0)), int(entry.get("morecols", 0))
    return Cell(blocks_text(entry, inline), more_rows + 1, more_columns + 1)
