"""Texts that others write are read in a time that grows with their length, not with its powers.

Python's regular expressions hold the whole process while they look: one that takes minutes stops everybody. None of
these ended within minutes, or took seconds for a few kilobytes, before.
"""

from __future__ import annotations

import re
import signal
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mundap.answers import borrowed, citations
from mundap.answers.sections import Content
from mundap.library.parsing.sphinx_roles import _End
from mundap.library.quoted_text import shown_blocks
from mundap.library.sources import llms, sphinx_conf
from mundap.library.sources.pages import find_pages
from mundap.library.sources.sphinx_site import read_inventory
from tests.answers.test_citations import evidence
from tests.library.parsing.pages import parsed

LONG = 150_000  # characters, five times what an answer may have: what grows with a power is seen
ENOUGH_SECONDS = 20


@pytest.fixture(autouse=True)
def _ends() -> Iterator[None]:
    """Fail a test that would go on and on."""

    def fail(*_: Any) -> None:
        raise TimeoutError("it takes too long")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(ENOUGH_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def titles_of(text: str) -> list[str]:
    return [title for title, _lines in llms._cut(text)]


@pytest.mark.parametrize("pattern", ["**a" * 30 + "b", "**/" * 30 + "b", "*a" * 30 + "b"])
def test_patterns_of_a_conf(pattern: str) -> None:
    skipped = sphinx_conf.excluded({"exclude_patterns": [pattern]})
    for path in ("a" * 200 + ".rst", "a/" * 200 + "a.rst"):
        assert not skipped.match(path)


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("**/a*b**.md", ["ab.md", "x/y/azb/c.md", "axb/ab.md"], ["a/b.md", "xab.md", "ab.rst"]),
        ("drafts/**/old", ["drafts/old", "drafts/a/b/old/c.md"], ["drafts/older", "old"]),
        ("a**b**c", ["abc", "a/b/c", "axbxc/d.md"], ["acb", "xabc"]),
        ("*a*", ["a", "bab/c.md"], ["b/a"]),
    ],
)
def test_patterns_mean_what_they_say(pattern: str, matching: list[str], others: list[str]) -> None:
    skipped = sphinx_conf.excluded({"exclude_patterns": [pattern]})
    assert [path for path in (*matching, *others) if skipped.match(path)] == matching


@pytest.mark.parametrize(
    "value",
    [
        "[" + "1," * 500_000 + "]",  # takes half a gigabyte to be read
        "-" * 100_000 + "1",  # MemoryError
        "0x1" + "0" * 10_000,  # a number that cannot be written
        "{(1, 2): 3, 'a': 4}",  # nor can this be, as JSON
        "1e999",
        "'a\\0b'",
        "'\\ud800'",
    ],
)
def test_a_conf_that_cannot_be_kept(tmp_path: Path, value: str) -> None:
    conf = tmp_path / "conf.py"
    conf.write_text(f"project = {value}\n")
    assert sphinx_conf.read_conf(conf) == {}


@pytest.mark.parametrize("head", ["<link rel=canonical " * 1000, "<title>" * 2800])
def test_the_head_of_a_site(tmp_path: Path, head: str) -> None:
    (tmp_path / "index.html").write_text(head)
    found = find_pages(tmp_path)
    assert (found.project, found.base_url) == ("", "")


def test_lines_of_a_site_s_lists() -> None:
    head = b"# Sphinx inventory version 2\n# Project: A\n# Version: 1\n#\n"
    long = [" " * 1_000_000, "a" + " " * 1_000_000, "a a:b" + " " * 1_000_000]
    lines = "\n".join([*long, "a long term std:term -1 terms.html#$ -"])
    assert read_inventory(head + zlib.compress(lines.encode())).locations == ("terms.html",)


class TestHeadings:
    """Of llms-full.txt."""

    def test_signs_without_end(self) -> None:
        assert titles_of("# a" + " #" * 500_000 + "x")[1].endswith("# #x")

    def test_signs_that_close_one_are_not_shown(self) -> None:
        text = "# A title ##\ntext\n# C#\n# #\n## deeper"
        assert titles_of(text) == ["index", "A title", "C", "#"]


@pytest.mark.parametrize("sign", ["[", "![", "[a]("])
def test_an_answer(sign: str) -> None:
    text = f"The cache {sign * (LONG // len(sign))} is set [1]. Done."
    shown, cited = citations.check(text, [evidence(1, "The cache is set.")])
    assert shown == text
    assert len(cited) == 1


@pytest.mark.parametrize("sign", ["[", "[a](", "`", "~"])
def test_a_summary(sign: str) -> None:
    text = sign * (LONG // len(sign))
    content = Content("", (), (), (), digest="", is_complete=True)
    assert borrowed.with_own_links(borrowed.with_own_code(text, content), content) == text


def test_a_passage() -> None:
    (block,) = shown_blocks(f"a {'`' * LONG}")
    assert "".join(piece.text for piece in block.pieces) == f"a {'`' * LONG}"


def test_markup_that_is_never_closed() -> None:
    """docutils looks for the end of each `*` in all that follows: a page of a megabyte would take hours."""
    text = "*a " * 2000
    assert parsed(f"{text}\n\nthis *is* it", ".rst").text == f"{text.strip()}\n\nthis is it"
    end = _End(re.compile("b"))
    assert not end.search("a")
    assert not end.search("b"), "what is left of a paragraph was looked through before"
