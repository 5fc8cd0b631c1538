"""Korean is complete: each text that people see has its translation, compiled."""

from __future__ import annotations

import ast
import functools
import gettext
import re
from datetime import UTC, datetime
from pathlib import Path

from django.utils.formats import localize
from django.utils.translation import override
from django.utils.translation.template import templatize

import mundap

SOURCE = Path(mundap.__file__).parent
CATALOGUE = SOURCE / "web" / "locale" / "ko" / "LC_MESSAGES" / "django.po"
NAMES = {"_", "gettext", "gettext_lazy"}
HANGUL = re.compile("[가-힣]")
# Words of a protocol, which stay as they are.
KEPT = {"ChatHistory deleted"}
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def texts_of(code: str) -> set[str]:
    """Return the texts that a Python source marks for translation."""
    return {
        node.args[0].value
        for node in ast.walk(_parsed(code))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in NAMES
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


def _parsed(code: str) -> ast.Module:
    try:
        return ast.parse(code)
    except SystemError:  # CPython 3.11 miscounts how deep it is, once in some thousand files
        return ast.parse(code)


def texts_of_template(path: Path) -> set[str]:
    """Return the texts that a template marks, in the form that gettext's tools see."""
    marked = re.findall(r"gettext\((u?(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"))\)", _plain(path))
    marked += re.findall(r"_\((u?(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"))\)", _plain(path))
    return {ast.literal_eval(text) for text in marked}


def _plain(path: Path) -> str:
    return templatize(path.read_text(encoding="utf-8"), origin=str(path))


@functools.cache
def marked_texts() -> frozenset[str]:
    """All of them; read once, as parsing every file takes a while."""
    texts: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        texts |= texts_of(path.read_text(encoding="utf-8"))
    for kind in ("html", "txt"):
        for path in SOURCE.rglob(f"templates/**/*.{kind}"):
            texts |= texts_of_template(path)
    return frozenset(texts)


def compiled() -> gettext.GNUTranslations:
    with CATALOGUE.with_suffix(".mo").open("rb") as file:
        return gettext.GNUTranslations(file)


def test_each_text_is_translated_and_compiled() -> None:
    catalogue = compiled()
    texts = marked_texts()
    assert len(texts) > 150
    missing = {text for text in texts - KEPT if not HANGUL.search(catalogue.gettext(text))}
    assert not missing, "run `make messages`, translate, and run it again"


def test_korean_says_morning_or_afternoon_before_the_hour() -> None:
    with override("ko"):
        assert localize(datetime(2026, 11, 22, 5, 38, tzinfo=UTC)) == "2026년 11월 22일 오전 5:38"


def test_what_is_compiled_is_what_was_written() -> None:
    catalogue = compiled()
    for block in CATALOGUE.read_text(encoding="utf-8").split("\n\n")[1:]:
        assert "#, fuzzy" not in block
        message, _break, translation = block.partition("\nmsgstr")
        singular, _break, plural = message.partition("msgid")[2].partition("\nmsgid_plural")
        written = _joined(translation)
        if plural:  # Korean has one form for both
            assert catalogue.ngettext(_joined(singular), _joined(plural), 2) == written
        else:
            assert catalogue.gettext(_joined(singular)) == written


def _joined(strings: str) -> str:
    return "".join(map(ast.literal_eval, STRING.findall(strings)))


def test_placeholders_are_kept() -> None:
    catalogue = compiled()
    for text in marked_texts():
        names = set(re.findall(r"%\(\w+\)[sd]", text))
        assert set(re.findall(r"%\(\w+\)[sd]", catalogue.gettext(text))) == names
