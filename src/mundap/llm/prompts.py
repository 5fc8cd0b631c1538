"""The words sent to the model. They stand in prompts/*.md; here they are only filled in."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from string import Template

_FOLDER = Path(__file__).parent / "prompts"


@cache
def _template(name: str) -> Template:
    return Template((_FOLDER / f"{name}.md").read_text(encoding="utf-8"))


def prompt(name: str, **values: str) -> str:
    """Return the prompt `name` with `$placeholders` filled in; a missing value is a KeyError."""
    return _template(name).substitute(values).strip()
