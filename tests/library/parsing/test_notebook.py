"""Jupyter notebooks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mundap.library.chunking import cut
from mundap.library.parsing import UnreadablePage
from tests.library.parsing.pages import anchors, links, parsed


def made(*cells: dict[str, Any], language: str = "python") -> str:
    metadata = {"language_info": {"name": language}}
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def markdown(*lines: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "source": list(lines)}


def code(source: str, *outputs: dict[str, Any]) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "outputs": outputs}


def test_cells_become_text_code_and_outputs():
    page = parsed(
        made(
            markdown("# Tea\n", "\n", "See [the pot](pot.html).\n", "\n", "```\nnever closed"),
            markdown("## How to boil\n", "Words."),
            code("boil()", {"output_type": "stream", "text": ["\x1b[31m100\x1b[0m degrees\n"]}),
            code(
                "plot()",
                {
                    "output_type": "display_data",
                    "data": {"image/png": "AAAA", "text/plain": "<Figure size 640x480>"},
                },
            ),
            code("1 / 0", {"output_type": "error", "ename": "ZeroDivisionError", "evalue": "zero"}),
            language="julia",
        ),
        ".ipynb",
        url="https://example.com/nb/tea.ipynb",
    )
    assert page.title == "Tea"
    assert anchors(page) == {"Tea": "Tea", "How to boil": "How-to-boil"}
    assert links(page) == {"the pot": "https://example.com/nb/pot.html"}
    assert "```julia\nboil()\n```\n\n```\n100 degrees\n```" in page.text
    assert "AAAA" not in page.text
    assert "Figure" not in page.text
    assert "ZeroDivisionError: zero" in page.text
    assert len(cut(page)) == 2


def test_long_outputs_are_cut():
    page = parsed(
        made(code("f()", {"output_type": "stream", "text": "number\n" * 10_000})), ".ipynb"
    )
    assert 1900 < len(page.text) < 2200
    assert page.text.endswith("…\n```")


def test_the_third_version_is_read():
    cells = [
        {"cell_type": "heading", "level": 2, "source": "Tea"},
        {"cell_type": "code", "input": ["boil()"], "outputs": []},
    ]
    page = parsed(json.dumps({"worksheets": [{"cells": cells}], "nbformat": 3}), ".ipynb")
    assert page.text == "## Tea\n\n```python\nboil()\n```"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '"text"', "[" * 100_000, '{"cells": ' + "[" * 100_000],
    ids=["empty", "open", "list", "bare", "text", "deep", "deep-cells"],
)
def test_what_is_no_notebook_is_refused(text):
    with pytest.raises(UnreadablePage):
        parsed(text, ".ipynb")


@pytest.mark.parametrize(
    "cells", ["3", "null", '[3, null, "x"]', '[{"cell_type": "code", "source": 3, "outputs": 4}]']
)
def test_cells_of_odd_kinds_are_passed_over(cells):
    assert parsed('{"cells": ' + cells + ', "metadata": 5}', ".ipynb").text == ""
