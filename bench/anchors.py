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
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from importlib.metadata import version
from pathlib import Path

from lxml import html

from mundap.library.chunking import CHUNKER_VERSION, PassageDraft
from mundap.library.reading import read_pages
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


def ids_of(file: Path) -> set[str]:
    tree = html.parse(str(file), parser=html.HTMLParser(encoding="utf-8"))
    return {str(found) for found in tree.xpath("//@id | //a/@name")}


def opens_at_top(draft: PassageDraft, first_anchor: str) -> bool:
    """Without an anchor a link opens at the top: right for what stands before or under the first heading only."""
    return len(draft.headings) <= 1 and first_anchor in {"", draft.anchor}


def compare(folder: Path) -> dict[str, object]:
    checked: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    examples: dict[str, list[str]] = defaultdict(list)
    anchors: set[tuple[str, str]] = set()
    without_page = []
    with open_source(SOURCE) as source:
        for read in read_pages(source):
            file = folder / Path(read.path).with_suffix(".html")
            if not file.is_file():
                without_page.append(read.path)
                continue
            ids = ids_of(file)
            for draft in read.drafts:
                checked[draft.kind] += 1
                anchors.add((read.path, draft.anchor))
                is_there = draft.anchor in ids if draft.anchor else opens_at_top(draft, "")
                if not is_there:
                    missed[draft.kind] += 1
                    examples[draft.kind].append(f"{read.path}#{draft.anchor}")
        pages = len(source.pages)
    total, misses = sum(checked.values()), sum(missed.values())
    return {
        "pages": pages,
        "pages_without_html": without_page,
        "passages": total,
        "different_anchors": len(anchors),
        "found": total - misses,
        "share": round((total - misses) / total, 5),
        "by_kind": {kind: {"passages": checked[kind], "missed": missed[kind]} for kind in checked},
        "misses": {kind: found[:40] for kind, found in examples.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare Mundap's anchors with Sphinx's.")
    parser.add_argument("--html", type=Path, help="the built pages; default: Debian's package")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = compare(given.html or unpack_package(Path(folder)))
    machine = {
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    versions = {"source": SOURCE, "docutils": version("docutils"), "chunker": CHUNKER_VERSION}
    print(json.dumps({"question": "anchors", **machine, **versions, **result}, indent=1))
    sys.exit(0 if float(str(result["share"])) >= 0.99 else 1)


if __name__ == "__main__":
    main()
