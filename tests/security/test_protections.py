"""The list of protections says what is true: each stands where it says, once, and so does the test that needs it."""

from __future__ import annotations

import re

import pytest

from tests.security.protections import LIST, PROTECTIONS, ROOT, SOURCE, Protection, listed


@pytest.mark.parametrize(
    "protection", PROTECTIONS, ids=lambda one: f"{one.against}: {one.breaks}".replace(" ", "-")
)
def test_it_stands_where_it_says(protection: Protection) -> None:
    text = (SOURCE / protection.file).read_text(encoding="utf-8")
    assert text.count(protection.snippet) == 1
    path, _colons, name = protection.test.partition("::")
    tests = (ROOT / "tests" / path).read_text(encoding="utf-8")
    assert re.search(rf"def {name.rpartition('::')[2]}\(", tests)


def test_the_list_is_up_to_date() -> None:
    assert LIST.read_text(encoding="utf-8") == listed()
