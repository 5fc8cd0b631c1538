"""A document that asks for a file of the machine that reads it, or for another site: it gets neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from mundap.library.parsing import PageContext, format_of_suffix, parse_page

SECRET = "the-machine-s-secret"
WAYS = [
    ".. include:: ../secret.txt",
    ".. include:: /../secret.txt",
    ".. include:: {outside}",
    ".. include:: link.txt",
    ".. literalinclude:: ../secret.txt",
    ".. literalinclude:: {outside}",
    ".. literalinclude:: sub/../../secret.txt",
    ".. csv-table::\n   :file: ../secret.txt",
    ".. csv-table::\n   :url: file://{outside}",
    ".. raw:: html\n   :file: ../secret.txt",
    ".. raw:: html\n   :url: file://{outside}",
    ".. |x| include:: ../secret.txt\n\n|x|",
    ".. figure:: ../secret.txt",
    ".. parsed-literal::\n   :file: ../secret.txt",
    ".. math::\n   :file: ../secret.txt\n\n   \\input{{{outside}}}",
    ".. include:: ../secret.txt\n   :parser: rst",
    ".. include:: ../secret.txt\n   :literal:",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text(SECRET)
    root = tmp_path / "source"
    (root / "sub").mkdir(parents=True)
    (root / "link.txt").symlink_to(tmp_path / "secret.txt")
    (root / "own.txt").write_text("its own words")
    return root


def text_of(root: Path, source: str, suffix: str) -> str:
    page_format = format_of_suffix(suffix)
    assert page_format
    return parse_page(source.encode(), page_format, PageContext(f"page{suffix}", root)).text


@pytest.mark.parametrize("way", WAYS)
def test_it_is_not_read(root: Path, way: str) -> None:
    asked = way.format(outside=root.parent / "secret.txt")
    assert SECRET not in text_of(root, f"Title\n=====\n\nText.\n\n{asked}\n", ".rst")


def test_its_own_is(root: Path) -> None:
    """Or the files above were not read for the wrong reason."""
    assert "its own words" in text_of(root, "Title\n=====\n\n.. include:: own.txt\n", ".rst")


@pytest.mark.parametrize(
    "html",
    [
        '<iframe src="file://{outside}"></iframe>',
        '<object data="file://{outside}"></object>',
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file://{outside}">]><p>&e;</p>',
        '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file://{outside}">]><html><p>&e;</p></html>',
    ],
)
def test_html_reads_nothing_else(root: Path, html: str) -> None:
    page = html.format(outside=root.parent / "secret.txt")
    assert SECRET not in text_of(root, f"<h1>T</h1><p>Text.</p>{page}", ".html")
