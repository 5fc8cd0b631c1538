"""Reads Sphinx's conf.py as a text: it is a program of somebody else's, and is never run."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from fnmatch import translate
from pathlib import Path
from typing import Any

# What is used of it; all are plain values in nearly every project.
_NAMES = {
    "add_function_parentheses", "default_role", "exclude_patterns", "extlinks", "html_baseurl",
    "html_extra_path", "html_static_path", "language", "master_doc", "project", "release",
    "root_doc", "rst_epilog", "rst_prolog", "source_suffix", "templates_path", "version",
}  # fmt: skip
_PARSERS = {"restructuredtext", "markdown"}
MAX_BYTES = 200_000  # Python's parser takes several hundred times as much memory
_MOST_PATTERNS = _MOST_CHARACTERS = 200  # patterns of a setting, and characters in one of them


def read_conf(file: Path) -> dict[str, Any]:
    """Return the settings that conf.py assigns as plain values; what it computes is left out."""
    if file.stat().st_size > MAX_BYTES:
        return {}
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    found: dict[str, Any] = {}
    _collect(tree.body, found)
    return found


def _collect(statements: Iterable[ast.stmt], found: dict[str, Any]) -> None:
    for statement in statements:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                _assign(target, statement.value, found)
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            _assign(statement.target, statement.value, found)
        elif isinstance(statement, ast.Try):
            # `try: import x; release = …  except ImportError: release = version`
            _collect(_first_fallback(statement), found)


def _first_fallback(statement: ast.Try) -> Iterable[ast.stmt]:
    return statement.handlers[0].body if statement.handlers else statement.body


def _assign(target: ast.expr, value: ast.expr, found: dict[str, Any]) -> None:
    if not isinstance(target, ast.Name) or target.id not in _NAMES:
        return
    if isinstance(value, ast.Name):  # release = version
        if value.id in found:
            found[target.id] = found[value.id]
        return
    try:
        plain = ast.literal_eval(value)
        written = json.dumps(
            plain, sort_keys=True, ensure_ascii=False, allow_nan=False, default=str
        )
        written.encode()
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return
    if r"\u0000" not in written:  # which the database cannot keep
        found[target.id] = plain


def source_suffixes(conf: Mapping[str, Any]) -> dict[str, str]:
    """Return the format of each suffix that the project's pages have."""
    value = conf.get("source_suffix", ".rst")
    if isinstance(value, str):
        value = {value: "restructuredtext"}
    elif isinstance(value, (list, tuple)):
        value = {each: _by_suffix(each) for each in value if isinstance(each, str)}
    if not isinstance(value, dict):
        return {".rst": "restructuredtext"}
    return {
        suffix: parser if parser in _PARSERS else _by_suffix(suffix)
        for suffix, parser in value.items()
        if isinstance(suffix, str)
    }


def _by_suffix(suffix: str) -> str:
    return "markdown" if suffix == ".md" else "restructuredtext"


def excluded(conf: Mapping[str, Any]) -> re.Pattern[str]:
    """Return what matches paths that are no pages, by the rules of Sphinx's exclude_patterns."""
    patterns = ["_build", "**/_sources", "_sources", ".#*", "**/.#*", "*.lproj/**"]
    for name in ("exclude_patterns", "templates_path", "html_static_path", "html_extra_path"):
        value = conf.get(name)
        if isinstance(value, (list, tuple)):
            given = [each.strip("/") for each in value if isinstance(each, str) and each]
            patterns += [each for each in given if len(each) <= _MOST_CHARACTERS][:_MOST_PATTERNS]
    return re.compile("|".join(f"(?:{_glob(pattern)})(?:/.*)?$" for pattern in patterns))


def _glob(pattern: str) -> str:
    """Return a pattern in which `*` stays within a folder and `**` does not.

    What stands before a `**` is looked for once: found further on, it leaves less for the rest. Tried at every place,
    several of them in a row would take for ever.
    """
    first, *rest = re.split(r"((?<![^/])\*\*/|\*\*)", pattern)
    parts = [_within_folder(first)]
    for gap, part in zip(rest[::2], rest[1::2], strict=True):
        parts.append(("(?:.*?/)??" if gap == "**/" else ".*?") + _within_folder(part))
    return "".join([*(f"(?>{part})" for part in parts[:-1]), parts[-1]])


def _within_folder(pattern: str) -> str:
    translated = translate(pattern)
    inner = re.fullmatch(r"\(\?s:(.*)\)(?:\\Z|\\z)", translated, re.DOTALL)
    found = inner[1] if inner else re.escape(pattern)
    return re.sub(r"\.\*\??", "[^/]*?", found)
