"""The names of code in a question, by their form, and whether the question asks what a name's definition says."""

from __future__ import annotations

import re

_NAME = re.compile(
    r"[A-Za-z]\w*_\w+"  # select_related, EMAIL_BACKEND
    r"|\b[a-z]+[A-Z]\w*"  # assertEqual
    r"|\b(?:[A-Z][a-z]+){2,}\w*"  # SimpleRouter
    r"|\b[A-Za-z_]\w*\.[A-Za-z_][\w.]*"  # functools.partial
    r"|\b[A-Za-z_]\w*(?=\()"  # render()
    r"|@[A-Za-z_]\w*",  # @property
    re.ASCII,
)

_ABOUT_DEFINITIONS = re.compile(
    r"\b(arguments?|args?|parameters?|params?|signature|returns?|takes?|accepts?|syntax)\b"
    r"|인자|인수|매개변수|파라미터|반환|시그니처",
    re.IGNORECASE,
)


def asks_for_definition(question: str) -> bool:
    """Return whether the question is about what a definition says: arguments, what is returned."""
    return bool(_ABOUT_DEFINITIONS.search(question))


def names_of(question: str) -> list[str]:
    """Return the last part of each name in lower case, in order: `datetime.strptime` gives strptime."""
    found = (match.strip("@.").rsplit(".", 1)[-1].lower() for match in _NAME.findall(question))
    return list(dict.fromkeys(name for name in found if name))
