"""Jupyter notebooks: Markdown cells as Markdown, code cells in the kernel's language, what they printed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from mundap.library.parsing.markdown import MarkdownWalker
from mundap.library.parsing.page import Kind, Page, PageContext, UnreadablePage

VERSION = 1
SUFFIXES = (".ipynb",)

# What a cell printed is kept up to this many characters: more is data, not documentation.
MAX_OUTPUT = 2000
# Colours and cursor movements of a terminal.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~])?|\x08")


def parse(source: str, context: PageContext) -> Page:
    """Return the notebook's page. Raises UnreadablePage."""
    notebook = _loaded(source)
    metadata = _mapping(notebook.get("metadata"))
    language = _language(metadata)
    walker = MarkdownWalker(context, style="jupyter")
    for cell in _cells(notebook):
        text = _text(cell.get("source", cell.get("input")))
        kind = cell.get("cell_type")
        if kind == "markdown":
            walker.read(text)
        elif kind == "heading":  # of the third version
            walker.read(f"{'#' * int(cell.get('level') or 1)} {' '.join(text.split())}")
        elif kind == "code":
            walker.writer.block(_fenced(text, language), kind=Kind.CODE, language=language)
            for output in _outputs(cell):
                walker.writer.block(_fenced(output, ""), kind=Kind.CODE)
    return walker.writer.finish(str(metadata.get("title") or ""))


def _loaded(source: str) -> dict[str, Any]:
    try:
        found = json.loads(source)
    except ValueError as exc:
        raise UnreadablePage(f"The notebook is damaged: it is not JSON ({exc}).") from exc
    if not isinstance(found, dict) or not {"cells", "worksheets"} & found.keys():
        raise UnreadablePage("It is not a Jupyter notebook: it has no cells.")
    return found


def _cells(notebook: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """Yield the cells; the third version has them in worksheets."""
    sheets = notebook.get("worksheets") if "cells" not in notebook else [notebook]
    for sheet in sheets if isinstance(sheets, list) else []:
        cells = _mapping(sheet).get("cells")
        yield from (_mapping(cell) for cell in (cells if isinstance(cells, list) else []))


def _language(metadata: dict[str, Any]) -> str:
    info, kernel = _mapping(metadata.get("language_info")), _mapping(metadata.get("kernelspec"))
    name = str(info.get("name") or kernel.get("language") or "python").lower()
    return name if re.fullmatch(r"[\w+#.-]{1,30}", name) else ""


def _outputs(cell: dict[str, Any]) -> Iterable[str]:
    """Yield what the cell printed or returned as text, and how it failed; pictures and widgets have none."""
    outputs = cell.get("outputs")
    room = MAX_OUTPUT
    for output in (_mapping(each) for each in (outputs if isinstance(outputs, list) else [])):
        data = _mapping(output.get("data"))
        if output.get("output_type") in {"error", "pyerr"}:
            text = f"{output.get('ename', 'Error')}: {_text(output.get('evalue'))}"
        else:
            text = _text(output.get("text") or data.get("text/plain"))
        text = _ESCAPES.sub("", text).strip("\n")
        if not text.strip() or room <= 0 or _is_picture(data, text):
            continue
        yield text if len(text) <= room else text[:room].rstrip() + "\n…"
        room -= len(text)


def _is_picture(data: dict[str, Any], text: str) -> bool:
    """Return whether the text only names a drawing: `<Figure size 640x480 with 1 Axes>`."""
    return any(kind.startswith("image/") for kind in data) and text.startswith("<")


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "".join(each for each in value if isinstance(each, str))
    return value if isinstance(value, str) else ""


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _fenced(code: str, language: str) -> str:
    code = code.strip("\n")
    fence = "````" if "```" in code else "```"
    return f"{fence}{language}\n{code.rstrip()}\n{fence}" if code.strip() else ""
