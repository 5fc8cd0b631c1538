"""How fast pages are read and cut, by format, beside what else there is for taking their text out.

Django's documentation (its source distribution, fetched as `mundap ingest` does), Python's as HTML (Debian's
python3.11-doc, or `--html FOLDER`), and documents that are made here of the same words. Ours gives sections, anchors,
links and passages; the peers give text alone. All in one process, by turns; docutils has no peer, as the
directives that ours adds to it are there for the whole process. Prints JSON:
`python bench/run_parsing.py [--html FOLDER] [--pages 150] [--repeat 3]`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pypdfium2
from bs4 import BeautifulSoup
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import Paragraph, SimpleDocTemplate

from harness import middle, report

os.environ.setdefault("SECRET_KEY", "only-for-the-benchmark-0123456789-abcdefghijklmnop")

DEBIAN = Path("/usr/share/doc/python3.11/html")


@dataclass(frozen=True)
class Given:
    """A page to be read: its bytes, its format and what its source knows."""

    path: str
    data: bytes
    format_name: str
    context: Any


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--html", type=Path, default=DEBIAN)
    options.add_argument("--pages", type=int, default=150, help="of each kind")
    options.add_argument("--repeat", type=int, default=3)
    chosen = options.parse_args()
    kinds = _kinds(chosen.html, chosen.pages)
    results = {
        name: _measured(pages, peers, chosen.repeat) for name, (pages, peers) in kinds.items()
    }
    packages = ("lxml", "docutils", "markdown-it-py", "pypdfium2", "mammoth", "beautifulsoup4")
    print(json.dumps(report("run_parsing.py", packages, formats=results), indent=1))


Peers = dict[str, Callable[[bytes], object]]


def _kinds(html: Path, count: int) -> dict[str, tuple[list[Given], Peers]]:
    rst = _pages("pypi:django==5.2.19#docs", count)
    texts = [page.data.decode() for page in rst]
    kinds: dict[str, tuple[list[Given], Peers]] = {
        "restructuredtext": (rst, {}),
        "markdown": ([_made(text.encode(), "markdown") for text in texts], {}),
        "text": ([_made(text.encode(), "text") for text in texts], {}),
        "notebook": ([_made(_notebook(text), "notebook") for text in texts], {}),
        "subtitles": ([_made(_subtitles(text), "subtitles") for text in texts], {}),
        "pdf": ([_made(_pdf(text), "pdf") for text in texts[:20]], {"PDFium alone": _pdfium}),
    }
    if html.is_dir():
        peers: Peers = {"BeautifulSoup get_text": _soup}
        kinds["html"] = (_pages(f"dir:{html}", count), peers)
    return kinds


def _pages(source_name: str, count: int) -> list[Given]:
    from mundap.library.parsing import PageContext
    from mundap.library.sources import open_source

    with open_source(source_name) as source:
        step = max(1, len(source.pages) // count)
        return [
            Given(
                page.path,
                page.file.read_bytes(),
                page.format_name,
                PageContext(page.path, source.root, source.settings, url=source.address(page.path)),
            )
            for page in source.pages[::step]
        ]


def _made(data: bytes, format_name: str) -> Given:
    from mundap.library.parsing import PageContext

    return Given("made", data, format_name, PageContext("made", Path("/nowhere")))


def _notebook(text: str) -> bytes:
    cells = [{"cell_type": "markdown", "source": part} for part in text.split("\n\n")]
    return json.dumps({"cells": cells}).encode()


def _subtitles(text: str) -> bytes:
    lines = [line for line in text.splitlines() if line.strip()]
    return "".join(
        f"{at // 3600:02}:{at // 60 % 60:02}:{at % 60:02},000 --> 99:00:00,000\n{line}\n\n"
        for at, line in enumerate(lines)
    ).encode()


def _pdf(text: str) -> bytes:
    file = io.BytesIO()
    style = getSampleStyleSheet()["BodyText"]
    words = text.replace("&", "&amp;").replace("<", "&lt;")
    SimpleDocTemplate(file).build([Paragraph(part, style) for part in words.split("\n\n")])
    return file.getvalue()


def _soup(data: bytes) -> object:
    return BeautifulSoup(data, "lxml").get_text()


def _pdfium(data: bytes) -> object:
    return [page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(data)]


def _ours(page: Given) -> int:
    from mundap.library.chunking import cut
    from mundap.library.parsing import format_named, parse_page

    page_format = format_named(page.format_name)
    assert page_format
    return len(cut(parse_page(page.data, page_format, page.context)))


def _measured(pages: Sequence[Given], peers: Peers, repeat: int) -> dict[str, Any]:
    passages = sum(map(_ours, pages))  # warms it, too
    units = _units(pages)
    times: dict[str, list[float]] = {name: [] for name in ("ours", *peers)}
    for _repetition in range(repeat):
        times["ours"].append(_seconds(lambda: [_ours(page) for page in pages]))
        for name, peer in peers.items():
            times[name].append(_seconds(lambda peer=peer: [peer(page.data) for page in pages]))
    tracemalloc.start()
    _ours(max(pages, key=lambda page: len(page.data)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {
        "files": len(pages),
        "pages": units,
        "kilobytes": sum(len(page.data) for page in pages) // 1000,
        "passages": passages,
        "pages_per_cpu_second": {
            name: middle(units / each for each in seconds) for name, seconds in times.items()
        },
        "python_peak_mb_of_largest": round(peak / 1e6, 1),
    }


def _units(pages: Sequence[Given]) -> int:
    """Return how many pages these are; a PDF has several."""
    return sum(
        len(pypdfium2.PdfDocument(page.data)) if page.format_name == "pdf" else 1 for page in pages
    )


def _seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


if __name__ == "__main__":
    main()
