"""What Sphinx's directives share: the state of a page that is being read, the ids they give, their nodes."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive, directives

from mundap.library.parsing.page import PageContext


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
