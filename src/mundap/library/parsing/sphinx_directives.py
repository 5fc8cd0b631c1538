"""Sphinx's directives for docutils: enough of each that its text is kept. `register` makes all of them known.

Sphinx itself would run the source's conf.py and takes minutes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive, directives

from mundap.library.parsing.page import PageContext
from mundap.library.parsing.sphinx_objects import (
    CObject,
    CrossReferenceTarget,
    CurrentModule,
    Described,
    Glossary,
    Module,
    NamedObject,
    Option,
    Program,
    PythonObject,
)
from mundap.library.parsing.sphinx_reading import SphinxDirective, version_note

MAX_INCLUDES = 50
MAX_INCLUDED_BYTES = 2_000_000


class Skipped(SphinxDirective):
    """What has no text of its own."""

    def run(self) -> list[nodes.Node]:
        """Return nothing."""
        return []


class Transparent(SphinxDirective):
    """What only groups: its content stays. The argument stays where it is a label, as on a tab."""

    labelled: ClassVar[frozenset[str]] = frozenset(
        {"tab", "tab-item", "group-tab", "dropdown", "card", "grid-item-card", "details"}
    )

    def run(self) -> list[nodes.Node]:
        """Return the content in a container."""
        node = nodes.container()
        if self.objtype in self.labelled and self.arguments:
            node += nodes.rubric("", self.arguments[0].splitlines()[0])
        self.parse_content(node)
        return [node]


class Only(SphinxDirective):
    """Content for some outputs; what is meant for HTML is read."""

    required_arguments = 1
    optional_arguments = 0

    def run(self) -> list[nodes.Node]:
        """Return the content if the expression holds for HTML."""
        words = re.findall(r"[\w.-]+|[()]", self.arguments[0])
        names = {"html": "True", "and": "and", "or": "or", "not": "not", "(": "(", ")": ")"}
        if not _holds([names.get(word, "False") for word in words]):
            return []
        node = nodes.container()
        self.parse_content(node)
        return [node]


def _holds(words: Sequence[str]) -> bool:
    """Return the value of a boolean expression in words, without running it as code."""
    position = 0

    def either() -> bool:
        nonlocal position
        value = both()
        while position < len(words) and words[position] == "or":
            position += 1
            value = both() or value
        return value

    def both() -> bool:
        nonlocal position
        value = one()
        while position < len(words) and words[position] == "and":
            position += 1
            value = one() and value
        return value

    def one() -> bool:
        nonlocal position
        if position >= len(words):
            return False
        word = words[position]
        position += 1
        if word == "not":
            return not one()
        if word == "(":
            value = either()
            position += 1
            return value
        return word == "True"

    return either()


class CodeBlock(SphinxDirective):
    """`code-block` and its relations; the argument is the language."""

    def run(self) -> list[nodes.Node]:
        """Return the code with its language and caption."""
        code = "\n".join(self.content)
        node = nodes.literal_block(code, code)
        default = "console" if self.objtype == "console" else self.reading.language
        node["language"] = self.arguments[0].strip() if self.arguments else default
        if caption := self.options.get("caption") or self.options.get("filename"):
            node["caption"] = caption.strip(" `")
        return [node]


class Highlight(SphinxDirective):
    """Sets the language of the literal blocks that follow."""

    def run(self) -> list[nodes.Node]:
        """Remember the language."""
        language = self.arguments[0].split()[0] if self.arguments else ""
        self.reading.language = "" if language in {"none", "default"} else language
        return []


_VERSION_LABELS = {
    "versionadded": "New in {}",
    "version-added": "New in {}",
    "versionchanged": "Changed in {}",
    "version-changed": "Changed in {}",
    "deprecated": "Deprecated since {}",
    "version-deprecated": "Deprecated since {}",
    "versionremoved": "Removed in {}",
    "version-removed": "Removed in {}",
    "deprecated-removed": "Deprecated since {}",
}


class VersionNote(SphinxDirective):
    """`versionadded`, `versionchanged`, `deprecated`: since which version something holds."""

    required_arguments = 1
    optional_arguments = 0

    def run(self) -> list[nodes.Node]:
        """Return a note that starts with the version."""
        version, *words = self.arguments[0].split(None, 1)
        rest = words[0].strip() if words else ""
        project = self.reading.context.settings.get("project")
        named = f"{project} {version}" if isinstance(project, str) and project else version
        node = version_note(label=_VERSION_LABELS[self.objtype].format(named))
        if rest:
            children, messages = self.state.inline_text(rest, self.lineno)
            node += nodes.paragraph(rest, "", *children)
            node += messages
        self.parse_content(node)
        return [node]


class SeeAlso(SphinxDirective):
    """`seealso`, and what other themes have for notes."""

    def run(self) -> list[nodes.Node]:
        """Return an admonition."""
        node = nodes.admonition()
        node += nodes.title("", "See also")
        if self.arguments:
            children, messages = self.state.inline_text(self.arguments[0], self.lineno)
            node += nodes.paragraph("", "", *children)
            node += messages
        self.parse_content(node)
        return [node]


class _Inserting(SphinxDirective):
    """What puts another file in; only files of the source itself are read."""

    required_arguments = 1
    optional_arguments = 0

    def read(self) -> tuple[str, str]:
        """Return the file's text and name, or nothing if it is not there or lies outside."""
        name = self.arguments[0].strip()
        file = included_file(self.reading.context, name)
        if file is None or self.reading.includes >= MAX_INCLUDES:
            return "", name
        self.reading.includes += 1
        return file.read_text(encoding="utf-8-sig", errors="replace").replace("\0", ""), name

    def cut(self, lines: list[str]) -> list[str]:
        """Return the lines that the options choose."""
        if chosen := self.options.get("lines"):
            lines = [lines[i - 1] for i in _line_numbers(chosen, len(lines))]
        for option, offset in (("start-at", 0), ("start-after", 1)):
            if mark := self.options.get(option):
                at = next((i for i, line in enumerate(lines) if mark in line), None)
                lines = [] if at is None else lines[at + offset :]
        for option, offset in (("end-at", 1), ("end-before", 0)):
            if mark := self.options.get(option):
                at = next((i for i, line in enumerate(lines) if mark in line), len(lines))
                lines = lines[: at + offset]
        return lines


def included_file(context: PageContext, name: str) -> Path | None:
    """Return the file that a page includes by this name, or None where it may not or cannot."""
    page = context.root / context.path
    file = context.root / name.lstrip("/") if name.startswith("/") else page.parent / name
    file = file.resolve()
    if not file.is_relative_to(context.root.resolve()) or not file.is_file():
        return None
    return file if file.stat().st_size <= MAX_INCLUDED_BYTES else None


def _line_numbers(chosen: str, count: int) -> list[int]:
    numbers: list[int] = []
    for part in chosen.split(","):
        match = re.fullmatch(r"\s*(\d*)\s*(-?)\s*(\d*)\s*", part)
        if match is None or not (match[1] or match[3]):
            continue
        first = int(match[1] or 1)
        last = int(match[3] or count) if match[2] else first
        numbers.extend(range(max(first, 1), min(last, count) + 1))
    return numbers


class Include(_Inserting):
    """`include`: the other file's text is read as if it stood here."""

    def run(self) -> list[nodes.Node]:
        """Insert the lines."""
        text, name = self.read()
        lines = self.cut(text.expandtabs(8).splitlines())
        if "literal" in self.options or "code" in self.options:
            code = "\n".join(lines)
            return [nodes.literal_block(code, code, language=self.options.get("code", ""))]
        self.state_machine.insert_input(lines, name)
        return []


class LiteralInclude(_Inserting):
    """`literalinclude`: the other file's text as code."""

    def run(self) -> list[nodes.Node]:
        """Return a code block."""
        text, name = self.read()
        if not text:
            return []
        code = "\n".join(self.cut(text.splitlines()))
        language = self.options.get("language", {".py": "python"}.get(Path(name).suffix, ""))
        node = nodes.literal_block(code, code, language=language)
        if caption := self.options.get("caption"):
            node["caption"] = caption
        return [node]


_PYTHON = (
    "class exception function method classmethod staticmethod attribute property data decorator "
    "decoratormethod coroutinefunction coroutinemethod awaitablefunction awaitablemethod "
    "abstractmethod type"
)
_C = "function member var macro struct union enum enumerator type"
_DIRECTIVES: dict[type[Directive], str] = {
    PythonObject: f"{_PYTHON} {' '.join('py:' + name for name in _PYTHON.split())}",
    CObject: " ".join("c:" + name for name in _C.split()),
    Described: "describe object rst:directive rst:role js:function js:class js:method",
    Option: "option cmdoption std:option django-admin-option",
    NamedObject: "envvar std:envvar confval std:confval django-admin",
    CrossReferenceTarget: "setting templatetag templatefilter fieldlookup",
    Module: "module py:module",
    CurrentModule: "currentmodule py:currentmodule",
    Program: "program std:program",
    Glossary: "glossary std:glossary",
    CodeBlock: "code-block code sourcecode console prompt terminal",
    Highlight: "highlight highlightlang",
    VersionNote: " ".join(_VERSION_LABELS),
    SeeAlso: "seealso",
    Only: "only",
    Include: "include",
    LiteralInclude: "literalinclude",
    Skipped: (
        "toctree index sectionauthor moduleauthor codeauthor tabularcolumns graphviz digraph graph "
        "inheritance-diagram default-domain autoclass autofunction automodule automethod "
        "autoattribute autodata autoexception autosummary acks raw"
    ),
}
_DIRECTIVE_NAME = re.compile(r"^[ \t]*\.\. +([a-zA-Z][\w:+.-]*) ?::", re.MULTILINE)


@cache
def register() -> None:
    """Make these directives known to docutils."""
    for kind, names in _DIRECTIVES.items():
        for name in names.split():
            directives.register_directive(name, kind)


def register_unknown(source: str) -> None:
    """Let directives that neither docutils nor this module knows show their content."""
    register()
    for name in {name.lower() for name in _DIRECTIVE_NAME.findall(source)}:
        if not _is_known(name):
            directives.register_directive(name, Transparent)


@cache
def _is_known(name: str) -> bool:
    ours = {each for names in _DIRECTIVES.values() for each in names.split()}
    return name in ours or name in directives._directive_registry  # type: ignore[attr-defined]  # noqa: SLF001
