"""What Sphinx's roles show: :class:`~a.B` is `B`, :ref:`label` is the title of the section it names."""

from __future__ import annotations

import posixpath
import re
from typing import Any

from docutils import nodes
from docutils.nodes import make_id
from docutils.parsers.rst.states import Inliner
from docutils.utils import unescape

from mundap.library.parsing.page import PageContext

_EXPLICIT = re.compile(r"^(.+?)\s*(?<!\x00)<(.*?)>$", re.DOTALL)
_PYTHON = {"class", "meth", "func", "attr", "exc", "mod", "data", "obj", "const", "type", "deco"}
_CODE = {
    "setting", "ttag", "tfilter", "lookup", "djadmin", "envvar", "option", "file", "samp", "kbd",
    "command", "program", "keyword", "token", "regexp", "code", "mimetype", "dir", "role", "model",
    "tag", "filter", "view", "template", "makevar", "newsgroup", "mailheader", "cmember", "macro",
    "member", "struct", "var", "opcode", "source", "confval", "literal",
}  # fmt: skip
_TEXT = {"term", "menuselection", "guilabel", "dfn", "manpage", "numref", "any", "download", "mod"}


# Roles for documents with numbers: what is shown before the number, and where they are.
_NUMBERED = {
    "pep": ("PEP ", "https://peps.python.org/pep-{}/"),
    "rfc": ("RFC ", "https://datatracker.ietf.org/doc/html/rfc{}.html"),
    "cve": ("CVE-", "https://www.cve.org/CVERecord?id=CVE-{}"),
    "cwe": ("CWE-", "https://cwe.mitre.org/data/definitions/{}.html"),
}


# What docutils looks for, behind each sign that begins something, up to the end of the paragraph.
_ENDS = ("emphasis", "strong", "interpreted_or_phrase_ref", "literal", "target", "substitution_ref")


class _End:
    """A pattern that is not looked for again behind a place where it was not found: 50 KB of `*a ` took 20 seconds."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        self.is_missing = False

    def search(self, text: str) -> re.Match[str] | None:
        found = None if self.is_missing else self._pattern.search(text)
        self.is_missing = found is None
        return found


class SphinxInliner(Inliner):
    """docutils' reader of inline markup, with Sphinx's roles; no role is registered anywhere."""

    # docutils formats its patterns with the class's own variables, not those it inherits.
    locals().update(
        {name: value for name, value in vars(Inliner).items() if isinstance(value, str)}
    )

    def init_customizations(self, settings: Any) -> None:
        """Compile the patterns, and remember of those that end something where they are missing."""
        super().init_customizations(settings)
        self._ends = [_End(getattr(self.patterns, name)) for name in _ENDS]
        for name, end in zip(_ENDS, self._ends, strict=True):
            setattr(self.patterns, name, end)

    def parse(
        self, text: str, lineno: int, memo: Any, parent: nodes.Element
    ) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return a paragraph's nodes; of what is left of it docutils only ever looks at the rest."""
        self._look_again()
        try:
            found: tuple[list[nodes.Node], list[nodes.system_message]]
            found = super().parse(text, lineno, memo, parent)
            return found
        finally:
            self._look_again()

    def _look_again(self) -> None:
        for end in self._ends:
            end.is_missing = False

    def interpreted(
        self, rawsource: str, text: str, role: str, lineno: int
    ) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return what the role shows."""
        context: PageContext = self.document.settings.reading.context
        name = role or str(context.settings.get("default_role") or "")
        if not name and not role:
            return [nodes.literal(rawsource, unescape(text))], []
        known = name.lower().rpartition(":")[2]
        if known in _docutils_roles and known not in {"code", "pep", "rfc"}:
            found: tuple[list[nodes.Node], list[nodes.system_message]]
            found = super().interpreted(rawsource, text, known, lineno)
            return found
        return [_shown(known, unescape(text), rawsource, context)], []


_docutils_roles = {
    "emphasis", "strong", "subscript", "sub", "superscript", "sup", "math", "title-reference",
    "title", "t", "raw",
}  # fmt: skip


def _shown(role: str, text: str, rawsource: str, context: PageContext) -> nodes.Node:
    explicit = _EXPLICIT.match(text)
    title, target = (explicit[1], explicit[2]) if explicit else ("", text)
    target = target.removeprefix("!")
    if role in _PYTHON:
        return nodes.literal(rawsource, title.removeprefix("!") or _python_name(role, target))
    if role in {"ref", "doc"}:
        shown = title or _title(role, target, context)
        return nodes.reference(rawsource, shown, refuri=_address(role, target, context))
    if role in _NUMBERED:
        label, address = _NUMBERED[role]
        number, _, anchor = target.partition("#")
        address = address.format(number.zfill(4) if role == "pep" else number)
        shown = title or label + number
        return nodes.reference(rawsource, shown, refuri=f"{address}#{anchor}".rstrip("#"))
    if role == "abbr":
        match = re.fullmatch(r"(.*\S)\s*\((.*)\)", text, re.DOTALL)
        return nodes.inline(rawsource, f"{match[1]} ({match[2]})" if match else text)
    if role in context.settings.get("extlinks", {}):
        pattern = context.settings["extlinks"][role]
        address = str(pattern[0] if isinstance(pattern, (list, tuple)) and pattern else pattern)
        shown = title or _extlink(pattern, target)
        return nodes.reference(rawsource, shown, refuri=address.replace("%s", target))
    if role in _CODE:
        return nodes.literal(rawsource, title or target)
    if role == "menuselection":
        return nodes.inline(rawsource, text.replace("-->", "›").replace("&", ""))
    return nodes.inline(rawsource, title or target.lstrip("~"))


def _python_name(role: str, target: str) -> str:
    name = target.rpartition(".")[2] if target.startswith("~") else target.lstrip(".")
    return f"{name}()" if role in {"func", "meth"} and not name.endswith(")") else name


def _title(role: str, target: str, context: PageContext) -> str:
    """Return the title that a link without one shows."""
    return context.titles.get(_key(role, target, context), target)


def _address(role: str, target: str, context: PageContext) -> str:
    """Return where a link to a label or a document leads, or nothing where that is not known."""
    page = context.addresses.get(_key(role, target, context), "")
    return f"{page}#{make_id(target)}" if page and role == "ref" else page


def _key(role: str, target: str, context: PageContext) -> str:
    """Return what a link's target is called among the titles and addresses."""
    if role == "ref":
        return " ".join(target.lower().split())
    return document_key(target, context.path)


def document_key(target: str, path: str) -> str:
    """Return how a document that is named on the page at `path` is called among the titles."""
    if target.startswith("/"):
        return posixpath.normpath(target)
    return posixpath.normpath(posixpath.join("/", posixpath.dirname(path), target))


def _extlink(pattern: Any, target: str) -> str:
    caption = pattern[1] if isinstance(pattern, (list, tuple)) and len(pattern) > 1 else None
    if isinstance(caption, str) and "%s" in caption:
        return caption.replace("%s", target)
    return target
