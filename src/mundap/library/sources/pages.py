"""Finds the pages of a source's folder: by Sphinx's conf.py, among built pages, or by their suffixes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mundap.library.parsing import Format, format_named, format_of_suffix
from mundap.library.sources.known import Naming
from mundap.library.sources.sphinx_conf import excluded, read_conf, source_suffixes

MAX_PATH_BYTES = 1000  # the database indexes paths
_SKIPPED_FOLDERS = {"node_modules", "__pycache__", "_static", "_sources", "_images", "_downloads"}
_NO_PAGES = re.compile(
    r"(?:robots|humans|requirements[\w-]*)\.txt$|(?:.*/)?404\.html$", re.IGNORECASE
)
_CANONICAL = re.compile(r"\srel=[\"']?canonical")
_BUILT_BY_SPHINX = re.compile(r"(?:genindex|search|contents|py-modindex)[\w-]*\.html$|_modules/")


@dataclass(frozen=True, slots=True)
class SourcePage:
    """A page's file, its path below the source's root, and the name of its format."""

    path: str
    file: Path
    format_name: str


@dataclass(frozen=True, slots=True)
class FoundPages:
    """A folder's pages in order of their paths, and what the folder says of itself."""

    pages: tuple[SourcePage, ...]
    naming: Naming
    project: str = ""
    version: str = ""
    language: str = ""
    base_url: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


def find_pages(root: Path) -> FoundPages:
    """Return the pages below this folder."""
    if (root / "conf.py").is_file():
        return _sphinx_source(root)
    if any((root / name).exists() for name in ("objects.inv", "_sources", "_static")):
        return _sphinx_built(root)
    return _by_suffix(root)


def is_page_path(path: str, *, is_sphinx: bool) -> bool:
    """Return whether a site's file of this path may be a page, and not something that comes with pages."""
    folders = path.split("/")[:-1]
    if _NO_PAGES.match(path) or any(name in _SKIPPED_FOLDERS for name in folders):
        return False
    return not is_sphinx or (path.endswith((".html", ".htm")) and not _BUILT_BY_SPHINX.match(path))


def _sphinx_source(root: Path) -> FoundPages:
    conf = read_conf(root / "conf.py")
    suffixes = source_suffixes(conf)
    skipped = excluded(conf)

    def format_of(path: str) -> Format | None:
        if skipped.match(path):
            return None
        name = next((name for suffix, name in suffixes.items() if path.endswith(suffix)), "")
        return format_named(name)

    project, version = (
        str(conf.get("project", "")),
        str(conf.get("release") or conf.get("version", "")),
    )
    return FoundPages(
        _pages(root, format_of, skip_folders=False),
        Naming.HTML,
        project=project,
        version=version,
        language=str(conf.get("language") or ""),
        base_url=str(conf.get("html_baseurl") or ""),
        settings=conf | {"anchors": "sphinx"},
    )


def _sphinx_built(root: Path) -> FoundPages:
    def format_of(path: str) -> Format | None:
        return format_named("html") if is_page_path(path, is_sphinx=True) else None

    project, version = _inventory(root / "objects.inv")
    pages = _pages(root, format_of)
    return FoundPages(
        pages, _built_naming(pages), project=project, version=version, base_url=_canonical(root)
    )


def _by_suffix(root: Path) -> FoundPages:
    def format_of(path: str) -> Format | None:
        return None if _NO_PAGES.match(path) else format_of_suffix(Path(path).suffix)

    pages = _pages(root, format_of)
    is_mkdocs = any((folder / "mkdocs.yml").is_file() for folder in (root, root.parent))
    if is_mkdocs:
        return FoundPages(pages, Naming.FOLDER, settings={"anchors": "mkdocs"})
    project = _site_name(root)
    return FoundPages(pages, _built_naming(pages), project=project, base_url=_canonical(root))


def _pages(
    root: Path, format_of: Callable[[str], Format | None], *, skip_folders: bool = True
) -> tuple[SourcePage, ...]:
    found = []
    for path, file in _files(root, skip_folders=skip_folders):
        page_format = format_of(path)
        if page_format is not None:
            found.append(SourcePage(path, file, page_format.name))
    return tuple(sorted(found, key=lambda page: page.path))


def _files(root: Path, *, skip_folders: bool) -> Iterator[tuple[str, Path]]:
    """Yield the files below the root with their paths; hidden ones and links that lead out are left out."""
    real_root = root.resolve()
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and not (skip_folders and name in _SKIPPED_FOLDERS)
        )
        for name in names:
            file = Path(folder) / name
            if name.startswith(".") or not file.is_file():
                continue
            path = _as_text(file.relative_to(root))
            if len(path.encode()) > MAX_PATH_BYTES:
                continue
            if file.is_symlink() and not file.resolve().is_relative_to(real_root):
                continue
            yield path, file


def _as_text(path: Path) -> str:
    r"""Return the path as the database can hold it: bytes of a name that are not UTF-8 become `\xb8`."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def _built_naming(pages: tuple[SourcePage, ...]) -> Naming:
    """Return NO_INDEX where nearly every page is an index.html in a folder of its own."""
    built = [page for page in pages if page.format_name == "html"]
    indexes = [page for page in built if page.path.endswith("index.html")]
    return Naming.NO_INDEX if built and len(indexes) > 0.8 * len(built) else Naming.FILE


def _inventory(file: Path) -> tuple[str, str]:
    """Return the project and version that Sphinx's inventory starts with."""
    if not file.is_file():
        return "", ""
    with file.open("rb") as opened:
        head = opened.read(1000).decode("utf-8", "replace")
    project = re.search(r"^# Project: (.*)$", head, re.MULTILINE)
    version = re.search(r"^# Version: (.*)$", head, re.MULTILINE)
    return (project[1].strip() if project else ""), (version[1].strip() if version else "")


def _head(root: Path) -> str:
    index = root / "index.html"
    if not index.is_file():
        return ""
    with index.open("rb") as opened:
        return opened.read(20_000).decode("utf-8", "replace")


def _canonical(root: Path) -> str:
    """Return where the index page says that it is published."""
    links = (link for link in re.findall(r"<link\b[^<>]*>", _head(root)) if _CANONICAL.search(link))
    found = re.search(r"https?://[^\s\"'>]+", next(links, ""))
    return re.sub(r"index\.html$", "", found[0]) if found else ""


def _site_name(root: Path) -> str:
    """Return the site's name, which stands behind the index page's own title."""
    _before, _tag, behind = _head(root).partition("<title>")
    title, end, _after = behind.partition("</title>")
    return re.split(r" [-—–|·»] ", " ".join(title.split()))[-1] if end else ""
