"""Sphinx's directives for docutils: enough of each that its text is kept and its anchor is the published one.

Sphinx itself would run the source's conf.py and takes minutes. The rules for anchors follow
https://www.sphinx-doc.org/en/master/ (domains python, std, c, javascript) and Django's docs/_ext.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive, directives

from mundap.library.parsing.page import PageContext

MAX_INCLUDES = 50
MAX_INCLUDED_BYTES = 2_000_000


class definition(nodes.General, nodes.Element):  # noqa: N801
    """Something that is documented: `name`, `signatures`, `ids` (where published), children."""


class version_note(nodes.General, nodes.Element):  # noqa: N801
    """Since when something holds; `label` is its beginning."""


class _AnyOptions(dict[str, Callable[[str], Any]]):
    """An option_spec that takes every option as text: themes and extensions add their own."""

    def __missing__(self, name: str) -> Callable[[str], Any]:
        return directives.unchanged


ANY_OPTIONS = _AnyOptions({"class": directives.unchanged})


@dataclass(slots=True)
class ReadingState:
    """What Sphinx's directives remember within one page; it hangs on the document's settings."""

    context: PageContext
    module: str = ""
    class_name: str = ""
    classes: list[str] = field(default_factory=list)
    program: str = ""
    language: str = ""
    serials: Counter[str] = field(default_factory=Counter)
    includes: int = 0


_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9._]+")
_NOT_AT_ENDS = re.compile(r"^[-0-9._]+|-+$")


def sphinx_id(document: nodes.document, state: ReadingState, *, prefix: str, term: str) -> str:
    """Return the id that Sphinx (3 and later) gives to a term, unique in the document."""
    text = f"{prefix}-{term}" if prefix else term
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    found = _NOT_AT_ENDS.sub("", _NOT_IN_IDS.sub("-", " ".join(text.split())))
    is_usable = bool(found) and found != prefix
    while not is_usable or found in document.ids:
        found = f"{prefix or 'id'}{'-' if prefix else ''}{state.serials[prefix]}"
        state.serials[prefix] += 1
        is_usable = True
    return found


class SphinxDirective(Directive):
    """A directive that knows the page's reading state."""

    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar[dict[str, Callable[[str], Any]] | None] = ANY_OPTIONS

    @property
    def reading(self) -> ReadingState:
        """Return what has been met so far on this page."""
        reading: ReadingState = self.state.document.settings.reading
        return reading

    @property
    def objtype(self) -> str:
        """Return the directive's name without its domain."""
        return self.name.lower().rpartition(":")[2]

    def parse_content(self, node: nodes.Element) -> None:
        """Parse the content into the node; sections may stand in it, with title styles of its own."""
        memo = self.state.memo
        kept = memo.title_styles, memo.section_level
        memo.title_styles, memo.section_level = [], 0
        try:
            self.state.nested_parse(self.content, self.content_offset, node, match_titles=True)
        finally:
            memo.title_styles, memo.section_level = kept


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


class CurrentModule(SphinxDirective):
    """`currentmodule`: the module that the definitions below belong to."""

    required_arguments = 1
    optional_arguments = 0

    def run(self) -> list[nodes.Node]:
        """Remember the module."""
        name = self.arguments[0].strip()
        self.reading.module = "" if name == "None" else name
        return []


class Module(CurrentModule):
    """`module`: as `currentmodule`, with an anchor."""

    def run(self) -> list[nodes.Node]:
        """Remember the module and leave a target."""
        super().run()
        found: list[nodes.Node] = []
        if not {"no-index", "noindex"} & self.options.keys():
            name = self.reading.module
            found.append(_target(self.state.document, self.reading, prefix="module", term=name))
        node = nodes.container()
        self.parse_content(node)
        return [*found, node]


def _target(
    document: nodes.document, reading: ReadingState, *, prefix: str, term: str
) -> nodes.target:
    target = nodes.target("", "", ids=[sphinx_id(document, reading, prefix=prefix, term=term)])
    document.note_explicit_target(target)
    return target


class CrossReferenceTarget(SphinxDirective):
    """A target of a type that the project has made for itself, such as Django's `.. setting::`."""

    has_content = False
    required_arguments = 1
    optional_arguments = 0
    option_spec = None  # as Sphinx: `:noindex:` below it becomes part of the name

    def run(self) -> list[nodes.Node]:
        """Return the target; the section or definition after it is what it names."""
        term = " ".join(self.arguments[0].split())
        prefix = f"std-{self.objtype}"
        return [_target(self.state.document, self.reading, prefix=prefix, term=term)]


class Program(SphinxDirective):
    """`program`: whose options are described."""

    required_arguments = 1
    optional_arguments = 0

    def run(self) -> list[nodes.Node]:
        """Remember the program."""
        name = "-".join(self.arguments[0].split())
        self.reading.program = "" if name == "None" else name
        return []


class Described(SphinxDirective):
    """The description of an object; subclasses say how it is named and where it is published."""

    required_arguments = 1
    optional_arguments = 0
    allows_nesting = False

    def run(self) -> list[nodes.Node]:
        """Return the definition with its content."""
        node = definition(signatures=[], ids=[], name="")
        is_published = not {"no-index", "noindex"} & self.options.keys()
        lines = re.sub(r"\\\n", "", self.arguments[0]).split("\n")
        names: list[str] = []
        for signature in (" ".join(line.split()) for line in lines):
            shown, name, anchors = self.describe(signature)
            node["signatures"].append(shown)
            if name in names:
                continue
            names.append(name)
            for prefix, term in anchors if is_published else []:
                found = sphinx_id(self.state.document, self.reading, prefix=prefix, term=term)
                node["ids"].append(found)
                self.state.document.ids.setdefault(found, node)
        node["name"] = names[0]
        self.before_content(names[-1])
        self.parse_content(node)
        self.after_content()
        return [node]

    def describe(self, signature: str) -> tuple[str, str, list[tuple[str, str]]]:
        """Return the signature as shown, the object's name and its anchors as (prefix, term)."""
        return signature.replace("\\", ""), signature, []

    def before_content(self, name: str) -> None:
        """Enter the object's own content."""

    def after_content(self) -> None:
        """Leave it."""


# The pattern of Sphinx's Python domain.
_PY_SIGNATURE = re.compile(
    r"^([\w.]*\.)?(\w+)\s*(?:\[\s*(.*?)\s*\])?(?:\(\s*(.*)\s*\)(?:\s*->\s*(.*))?)?$"
)
_PY_CALLABLE = {
    "function", "method", "classmethod", "staticmethod", "coroutinefunction", "coroutinemethod",
    "awaitablefunction", "awaitablemethod", "abstractmethod",
}  # fmt: skip
_PY_SHOWN = {
    "class": "class ", "exception": "exception ", "classmethod": "classmethod ",
    "staticmethod": "static ", "decorator": "@", "decoratormethod": "@", "property": "property ",
    "coroutinefunction": "async ", "coroutinemethod": "async ", "type": "type ",
}  # fmt: skip


class PythonObject(Described):
    """The Python domain's objects: `class`, `method`, `attribute` …"""

    def describe(self, signature: str) -> tuple[str, str, list[tuple[str, str]]]:
        """Return the full name as Sphinx builds it from module, class and signature."""
        signature = signature.replace("\\", "")
        match = _PY_SIGNATURE.match(signature)
        if match is None:
            return signature, signature, []
        prefix, name, arguments = match[1] or "", match[2], match[4]
        around = self.reading.class_name
        if (around and (prefix == around or prefix.startswith(f"{around}."))) or not around:
            full = prefix + name
        else:
            full = f"{around}.{prefix}{name}"
        rest = signature[match.end(2) :].strip()
        if self.objtype in _PY_CALLABLE and arguments is None:
            rest = f"(){rest}"
        shown = f"{_PY_SHOWN.get(self.objtype, '')}{full}{rest}"
        if annotation := self.options.get("annotation"):
            shown = f"{shown} {annotation}"
        module = self.options.get("module", self.reading.module)
        self.prefix = prefix
        is_called = self.objtype in _PY_CALLABLE
        term = f"{module}.{full}" if module else full
        return shown, f"{full}()" if is_called else full, [("", term)]

    def before_content(self, name: str) -> None:
        """Names inside a class belong to it."""
        self.kept_module = self.reading.module
        self.nests = self.objtype in {"class", "exception"}
        inner = name if self.nests else getattr(self, "prefix", "").strip(".")
        if inner:
            self.reading.class_name = inner
            if self.nests:
                self.reading.classes.append(inner)
        if "module" in self.options:
            self.reading.module = self.options["module"]

    def after_content(self) -> None:
        """Return to the class around, as Sphinx does."""
        classes = self.reading.classes
        if self.nests and classes:
            classes.pop()
        self.reading.class_name = classes[-1] if classes else ""
        if "module" in self.options:
            self.reading.module = self.kept_module


_OPTION = re.compile(r"((?:/|--|-|\+)?[^\s=]+)(=?\s*.*)")


class Option(Described):
    """`option` and Django's `django-admin-option`: a command's options, by program."""

    def describe(self, signature: str) -> tuple[str, str, list[tuple[str, str]]]:
        """Return one anchor for each spelling."""
        anchors = []
        for each in signature.split(", "):
            match = _OPTION.match(each.strip())
            if match is None:
                continue
            name, arguments = match[1], match[2]
            if name.endswith("[") and arguments.endswith("]"):
                name = name[:-1]
            parts = ["cmdoption", *filter(None, [self.reading.program])]
            if not name.startswith(("-", "/")):
                parts.append("arg")
            anchors.append(("-".join(parts), name))
        return signature, signature.split(", ", maxsplit=1)[0], anchors


class NamedObject(Described):
    """`envvar`, `confval` and objects of the project's own types, such as `django-admin`."""

    def describe(self, signature: str) -> tuple[str, str, list[tuple[str, str]]]:
        """Return the object's type and name as anchor."""
        name, shown = signature, signature
        if self.objtype == "django-admin":
            name, shown = signature.split(" ", maxsplit=1)[0], f"django-admin {signature}"
            self.reading.program = name
        return shown, name, [(self.objtype, name)]


class CObject(Described):
    """The C domain's objects: published as `c.name`."""

    def describe(self, signature: str) -> tuple[str, str, list[tuple[str, str]]]:
        """Return the declared name, the last word before any parameters."""
        words = re.findall(r"[\w.]+", signature.split("(", maxsplit=1)[0])
        name = words[-1] if words else signature
        return signature, name, [("", f"c.{name}")]


class Glossary(SphinxDirective):
    """Terms, each with an anchor and its explanation."""

    def run(self) -> list[nodes.Node]:
        """Return a definition for each entry."""
        found: list[nodes.Node] = []
        lines = list(self.content)
        position = 0
        while position < len(lines):
            if not lines[position].strip() or lines[position].startswith(".. "):
                position += 1
                while position < len(lines) and lines[position][:1].isspace():
                    position += 1
                continue
            first = position
            while position < len(lines) and lines[position].strip() and lines[position][0] != " ":
                position += 1
            body = position
            while position < len(lines) and (not lines[position] or lines[position][0] == " "):
                position += 1
            found.append(self._entry(lines[first:body], body, position))
        return found

    def _entry(self, terms: list[str], start: int, end: int) -> definition:
        node = definition(signatures=[], ids=[], name="", is_term=True)
        for line in terms:
            children, _messages = self.state.inline_text(re.split(r" +: +", line)[0], self.lineno)
            term = nodes.term("", "", *children).astext()
            found = sphinx_id(self.state.document, self.reading, prefix="term", term=term)
            node["ids"].append(found)
            self.state.document.ids.setdefault(found, node)
            node["name"] = node["name"] or term
            node["signatures"].append(term)
        content = self.content[start:end]
        indents = [len(line) - len(line.lstrip()) for line in content if line.strip()]
        if indents:
            content.trim_left(min(indents))
            self.state.nested_parse(content, self.content_offset + start, node)
        return node


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
_DIRECTIVE_NAME = re.compile(r"^\s*\.\. +([a-zA-Z][\w:+.-]*) ?::", re.MULTILINE)


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
