"""Sphinx's directives that describe something or name it, and with that publish an anchor.

The rules follow https://www.sphinx-doc.org/en/master/ (domains python, std and c) and Django's docs/_ext.
"""

from __future__ import annotations

import re

from docutils import nodes

from mundap.library.parsing.sphinx_reading import (
    ReadingState,
    SphinxDirective,
    definition,
    sphinx_id,
)


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
