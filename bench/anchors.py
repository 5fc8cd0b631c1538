"""Do our anchors exist on the pages that Sphinx itself built?

Reads Django 3.2.25's documentation from its source distribution through Mundap's parser and chunker, and compares every
passage's anchor with the ids in Debian's package of the built pages (python-django-doc). Prints one JSON document.

    python bench/anchors.py                  # fetches both; needs apt-get and dpkg
    python bench/anchors.py --html FOLDER    # pages that are already there
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path

from lxml import html
from lxml.html import HtmlElement

from mundap.library.chunking import CHUNKER_VERSION
from mundap.library.reading import read_source
from mundap.library.sources import open_source

SOURCE = "pypi:django==3.2.25#docs"
PACKAGE = "python-django-doc"
HTML_IN_PACKAGE = "usr/share/doc/python-django-doc/html"


def unpack_package(folder: Path) -> Path:
    """Return the folder with the package's pages."""
    subprocess.run(
        ["apt-get", "download", "-qq", PACKAGE], cwd=folder, check=True, stdout=sys.stderr
    )
    file = next(folder.glob("*.deb"))
    subprocess.run(["dpkg", "-x", file, folder / "package"], check=True)
    return folder / "package" / HTML_IN_PACKAGE


def elements_by_id(file: Path) -> dict[str, HtmlElement]:
    tree = html.parse(str(file), parser=html.HTMLParser(encoding="utf-8"))
    found: dict[str, HtmlElement] = {}
    for element in tree.xpath("//*[@id]"):
        found.setdefault(element.get("id"), element)
    return found


def opens_at(element: HtmlElement, heading: str) -> bool:
    """Does the anchor lead to the heading or definition that the passage lies under?"""
    if element.tag == "dt":
        name = heading.partition("(")[0].rpartition(".")[2]
        return as_name(name) in as_name(element.text_content())
    section: HtmlElement | None = element
    while section is not None and "section" not in (section.get("class") or "").split():
        section = section.getparent()
    titles = section.xpath("./h1|./h2|./h3|./h4|./h5|./h6") if section is not None else []
    return bool(titles) and as_name(titles[0].text_content()) == as_name(heading)


def as_name(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).lower()


def compare(folder: Path) -> dict[str, object]:
    checked: Counter[str] = Counter()
    misses: list[str] = []
    places: dict[str, bool] = {}
    without_page = []
    with open_source(SOURCE) as source:
        for read in read_source(source):
            file = folder / Path(read.path).with_suffix(".html")
            if not file.is_file():
                without_page.append(read.path)
                continue
            elements = elements_by_id(file)
            for draft in read.drafts:
                checked[draft.kind] += 1
                element = elements.get(draft.anchor)
                place = f"{read.path}#{draft.anchor}"
                if element is not None:
                    heading = draft.headings[-1]
                    places[f"{place}: {heading}"] = opens_at(element, heading)
                # Without an anchor a link opens at the top: right for what stands under the title alone.
                elif draft.anchor or len(draft.headings) > 1:
                    misses.append(f"{draft.kind} {place}")
        pages = len(source.pages)
    total = sum(checked.values())
    return {
        "pages": pages,
        "pages_without_html": without_page,
        "passages": total,
        "found": total - len(misses),
        "share": round((total - len(misses)) / total, 5),
        "passages_by_kind": dict(checked),
        "misses_by_kind": dict(Counter(miss.split()[0] for miss in misses)),
        "misses": misses[:100],
        "places": len(places),
        "places_at_their_heading": sum(places.values()),
        "places_around_it": [place for place, is_there in places.items() if not is_there][:100],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare Mundap's anchors with Sphinx's.")
    parser.add_argument("--html", type=Path, help="the built pages; default: Debian's package")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = compare(given.html or unpack_package(Path(folder)))
    about = {
        "question": "Do our anchors exist on the pages that Sphinx built?",
        "command": "python bench/anchors.py",
        "commit": commit(),
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "source": SOURCE,
        "built_pages": PACKAGE,
        "docutils": version("docutils"),
        "chunker": CHUNKER_VERSION,
    }
    print(json.dumps(about | result, indent=1))
    sys.exit(0 if float(str(result["share"])) >= 0.99 else 1)


def commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


if __name__ == "__main__":
    main()
