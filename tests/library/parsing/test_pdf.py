"""PDFs, made here by reportlab: reading order, headings, pages as anchors, and what cannot be read."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from mundap.library.chunking import cut
from mundap.library.parsing import Page, UnreadablePage, pdf_words
from tests.library.parsing.pages import links, parsed

WORDS = [
    "the",
    "kettle",
    "is",
    "filled",
    "with",
    "water",
    "and",
    "put",
    "on",
    "the",
    "stove",
    "until",
    "it",
    "boils",
]


def made(draw: Callable[[Canvas], None], **options: object) -> bytes:
    file = io.BytesIO()
    canvas = Canvas(file, pagesize=(595, 842), invariant=True, **options)
    draw(canvas)
    canvas.save()
    return file.getvalue()


def read(draw: Callable[[Canvas], None]) -> Page:
    return parsed(made(draw), ".pdf")


def lines(canvas: Canvas, x: float, y: float, texts: list[str], *, size: float = 10) -> None:
    canvas.setFont("Helvetica", size)
    for number, text in enumerate(texts):
        canvas.drawString(x, y - number * size * 1.2, text)


def sentences(name: str, count: int) -> list[str]:
    """Lines of about the width of a column, each known by its name and number."""
    return [f"{name}{number} " + " ".join(WORDS[:8]) for number in range(count)]


def order(page: Page, names: str) -> str:
    """The names of the lines in the order in which they are read, each once in a row."""
    met = [word[0] for word in page.text.split() if word[0] in names and word[1:].isdigit()]
    return "".join(name for name, before in zip(met, ["", *met], strict=False) if name != before)


def two_columns(canvas: Canvas, *, by_rows: bool = False, shift: float = 0) -> None:
    lines(
        canvas,
        60,
        790,
        ["Brewing with a stove: all that there is to be said about it today"],
        size=16,
    )
    left, right = sentences("L", 20), sentences("R", 20)
    if by_rows:
        for number, pair in enumerate(zip(left, right, strict=True)):
            lines(canvas, 60, 740 - number * 12, [pair[0]])
            lines(canvas, 320, 740 - number * 12, [pair[1]])
    else:
        lines(canvas, 320, 740 - shift, right)
        lines(canvas, 60, 740, left)


@pytest.mark.parametrize(
    "options", [{}, {"by_rows": True}, {"shift": 5}], ids=["columns", "rows", "shifted"]
)
def test_columns_are_read_one_after_the_other(options):
    page = read(lambda canvas: two_columns(canvas, **options))
    assert order(page, "LR") == "LR"
    assert page.title == "Brewing with a stove: all that there is to be said about it today"


def test_three_columns_below_a_paragraph_of_full_width():
    def draw(canvas):
        lines(canvas, 50, 800, ["A0 " + " ".join(WORDS * 2)[:100]] * 4)
        for x, name in ((50, "X"), (220, "Y"), (390, "Z")):
            lines(canvas, x, 720, [line[:32] for line in sentences(name, 20)])

    assert order(read(draw), "AXYZ") == "AXYZ"


def test_headings_by_size_and_pages_as_anchors():
    def draw(canvas):
        for number, name in enumerate(("Filling", "Boiling"), 1):
            lines(canvas, 60, 780, [f"{number} {name}"], size=20)
            lines(canvas, 60, 740, sentences("A", 5))
            lines(canvas, 60, 640, ["Mind the steam"], size=14)
            lines(canvas, 60, 610, sentences("B", 5))
            canvas.showPage()

    drafts = cut(read(draw))
    assert [(draft.headings, draft.anchor) for draft in drafts] == [
        (("1 Filling",), "page=1"),
        (("1 Filling", "Mind the steam"), "page=1"),
        (("1 Filling", "2 Boiling"), "page=2"),
        (("1 Filling", "2 Boiling", "Mind the steam"), "page=2"),
    ]


def test_headings_by_the_outline_and_sections_over_pages():
    def draw(canvas):
        canvas.setTitle("The kettle")
        for number in (1, 2, 3):
            if number != 2:
                canvas.bookmarkPage(f"p{number}")
                canvas.addOutlineEntry(f"Part {number}", f"p{number}", 0)
                lines(canvas, 60, 780, [f"Part {number}"])
            lines(canvas, 60, 740, [f"{line}." for line in sentences("A", 4)])
            canvas.showPage()

    page = read(draw)
    assert page.title == "The kettle"
    assert [(draft.headings, draft.anchor) for draft in cut(page)] == [
        (("The kettle", "Part 1"), "page=1"),
        (("The kettle", "Part 1"), "page=2"),
        (("The kettle", "Part 3"), "page=3"),
    ]


def test_running_heads_and_page_numbers_are_left_out():
    def draw(canvas):
        for number in range(1, 6):
            lines(canvas, 60, 810, [f"Teapot manual, chapter {number % 2}"])
            lines(canvas, 60, 700, sentences("A", 5))
            lines(canvas, 290, 30, [f"{number + 10}"])
            canvas.showPage()

    text = read(draw).text
    assert "manual" not in text
    assert not any(str(number) in text.split() for number in range(11, 16))
    assert text.count("A4 the kettle") == 5


def test_a_sentence_over_two_pages_stays_one_and_cut_words_are_joined():
    def draw(canvas):
        lines(canvas, 60, 740, ["Water boils at a hundred de-", "grees, unless it is on a"])
        canvas.showPage()
        lines(
            canvas, 60, 740, ["mountain. There it boils ear-", "lier, and well-known books say so."]
        )

    drafts = cut(read(draw))
    assert drafts[0].text == (
        "Water boils at a hundred degrees, unless it is on a mountain. There it boils earlier, "
        "and well-known books say so."
    )
    assert drafts[0].anchor == "page=1"


def test_tables_code_and_lists():
    def draw(canvas):
        lines(canvas, 60, 790, sentences("A", 6))
        for number, row in enumerate((("Tea", "Minutes"), ("black", "4"), ("green", "2"))):
            for x, cell in zip((60, 300), row, strict=True):
                canvas.drawString(x, 690 - number * 14, cell)
        lines(canvas, 60, 600, ["• first", "• second"])
        canvas.setFont("Courier", 10)
        canvas.drawString(60, 540, "def boil(water):")
        canvas.drawString(84, 528, "return steam")

    text = read(draw).text
    assert "| Tea | Minutes |\n| --- | --- |\n| black | 4 |\n| green | 2 |" in text
    assert "- first\n- second" in text
    assert "```\ndef boil(water):\n    return steam\n```" in text


def test_korean_and_links():
    pdfmetrics.registerFont(UnicodeCIDFont("HYSMyeongJo-Medium"))

    def draw(canvas):
        canvas.setFont("HYSMyeongJo-Medium", 12)
        canvas.drawString(60, 740, "주전자에 물을 넣고 끓입니다. 안내서를 보세요.")
        canvas.linkURL("https://example.com/tea", (205, 735, 250, 755))
        canvas.linkURL("javascript:alert(1)", (60, 735, 110, 755))

    page = read(draw)
    assert page.text == "주전자에 물을 넣고 끓입니다. 안내서를 보세요."
    assert links(page) == {"안내서를": "https://example.com/tea"}


def test_an_encrypted_one_is_refused():
    data = made(
        lambda canvas: lines(canvas, 60, 700, ["Secret"]), encrypt=StandardEncryption("open sesame")
    )
    with pytest.raises(UnreadablePage, match="password"):
        parsed(data, ".pdf")


def test_one_of_pictures_alone_needs_ocr():
    def draw(canvas):
        canvas.rect(60, 60, 400, 600, fill=1)
        canvas.showPage()

    with pytest.raises(UnreadablePage, match="OCR"):
        read(draw)


def broken() -> Iterator[bytes]:
    whole = made(lambda canvas: lines(canvas, 60, 700, sentences("A", 20)))
    yield b"%PDF-1.7\n"
    yield b"%PDF-1.7\n" + bytes(range(256)) * 20
    yield whole[: len(whole) // 3]
    yield whole.replace(b"/Kids", b"/Kid_")
    yield whole.replace(b"endstream", b"endstr_am").replace(b"xref", b"xr_f")


@pytest.mark.parametrize("data", list(broken()), ids=range(5))
def test_a_damaged_one_is_read_or_refused(data):
    try:
        page = parsed(data, ".pdf")
    except UnreadablePage as refused:
        assert str(refused)
    else:
        assert "A0 the kettle" in page.text


def test_one_of_too_many_pages_is_refused(monkeypatch):
    monkeypatch.setattr(pdf_words, "MAX_PAGES", 2)

    def draw(canvas):
        for _number in range(3):
            lines(canvas, 60, 700, ["Words enough"])
            canvas.showPage()

    with pytest.raises(UnreadablePage, match="3 pages"):
        read(draw)


def test_one_of_too_much_text_is_refused(monkeypatch):
    monkeypatch.setattr(pdf_words, "MAX_CHARACTERS", 200)
    with pytest.raises(UnreadablePage, match="200 characters"):
        read(lambda canvas: lines(canvas, 60, 700, sentences("A", 20)))
