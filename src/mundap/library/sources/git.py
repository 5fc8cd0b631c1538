"""`git:https://host/project.git@main#docs`: a folder of a git repository, at a branch, a tag or a commit.

The files are taken out of what the server sends. Nothing is checked out: no hooks, filters, submodules, links.
"""

from __future__ import annotations

import os
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from dulwich.errors import ApplyDeltaError, ChecksumMismatch, FileFormatException, GitProtocolError
from dulwich.object_format import DEFAULT_OBJECT_FORMAT
from dulwich.objects import Blob, Commit, ObjectID, Tag, Tree
from dulwich.pack import Pack, PackData, UnresolvedDeltas

from mundap.errors import SourceError
from mundap.library.crawling.git_client import WebGitClient
from mundap.library.crawling.web import Web, open_web
from mundap.library.sources.archives import MAX_BYTES, MAX_MEMBERS, bad_names_as_source_error
from mundap.library.sources.fetched import Fetched
from mundap.library.sources.git_pack import check_pack

SCHEME = "git"
MAX_DEPTH = 50
_VERSION = re.compile(r"v?(\d+(?:\.\d+)+\w*)$")
# What dulwich raises over what a server made up.
_BROKEN = (
    ApplyDeltaError, AssertionError, ChecksumMismatch, FileFormatException, GitProtocolError, IndexError, KeyError,
    NotImplementedError, TypeError, UnresolvedDeltas, ValueError, zlib.error,
)  # fmt: skip


def fetch(address: str, folder: Path) -> Fetched:
    """Fetch a branch's, a tag's or a commit's newest state, and write the files of the folder named after `#`."""
    place, _, part = address.partition("#")
    root = folder / "files"
    root.mkdir()
    with open_web() as web:
        url, name = _split(place, web)
        with _broken_as_source_error(url), WebGitClient(web, url) as client:
            commit = client.fetch_commit(name, folder / "fetched.pack")
    check_pack(folder / "fetched.pack")
    with (
        _broken_as_source_error(url),
        bad_names_as_source_error(url),
        _indexed(folder / "fetched") as objects,
    ):
        _Files(objects).write(_tree(objects, commit, part.strip("/")), root)
    version = _VERSION.match(name)
    return Fetched(
        root,
        version=version[1] if version else "",
        called=urlsplit(url).path.rstrip("/").rpartition("/")[2].removesuffix(".git"),
    )


def _split(place: str, web: Web) -> tuple[str, str]:
    """Return the repository's address, and the branch, tag or commit. Raises SourceError for what may not be asked."""
    url, _, name = place.partition("@")
    target = web.rules.target(place if "@" in urlsplit(place).netloc else url)
    if target.scheme != "https" and not web.rules.is_own(target.host, target.port):
        raise SourceError("A repository's address begins with https://.")
    return str(target), name


@contextmanager
def _indexed(base: Path) -> Iterator[Pack]:
    """Give the objects of the pack file with this base."""
    with PackData(f"{base}.pack", object_format=DEFAULT_OBJECT_FORMAT) as data:
        data.create_index(f"{base}.idx")
    with Pack(str(base), object_format=DEFAULT_OBJECT_FORMAT) as pack:
        yield pack


@contextmanager
def _broken_as_source_error(url: str) -> Iterator[None]:
    try:
        yield
    except _BROKEN as exc:
        raise SourceError(
            f"{url} is no git repository that can be read ({type(exc).__name__}: {exc})."
        ) from exc


def _tree(objects: Pack, found: ObjectID, part: str) -> Tree:
    """Return the folder of this path in the commit."""
    thing = objects[found]
    while isinstance(thing, Tag):
        thing = objects[thing.object[1]]
    if not isinstance(thing, Commit):
        raise SourceError("The name is not that of a branch, a tag or a commit.")
    tree = objects[thing.tree]
    for name in filter(None, part.split("/")):
        entries = (
            {entry.path: entry for entry in tree.iteritems()} if isinstance(tree, Tree) else {}
        )
        entry = entries.get(os.fsencode(name))
        if entry is None or not stat.S_ISDIR(entry.mode):
            raise SourceError(f"The repository has no folder {part!r}.")
        tree = objects[entry.sha]
    if not isinstance(tree, Tree):
        raise SourceError(f"The repository has no folder {part!r}.")
    return tree


class _Files:
    """Writes files out of a pack, counting: a folder that holds another one ten times over grows fast."""

    def __init__(self, objects: Pack) -> None:
        self._objects = objects
        self._count = 0
        self._size_bytes = 0

    def write(self, tree: Tree, folder: Path, *, depth: int = 0) -> None:
        """Write the tree's files and folders; links and submodules lead elsewhere, and are left out."""
        for entry in tree.iteritems():
            name = _checked(entry.path)
            self._count += 1
            if self._count > MAX_MEMBERS or depth > MAX_DEPTH:
                raise SourceError(
                    f"The repository has more than {MAX_MEMBERS:,} files, or folders nested more than {MAX_DEPTH} deep."
                )
            if stat.S_ISDIR(entry.mode):
                (folder / name).mkdir()
                inner = self._objects[entry.sha]
                if isinstance(inner, Tree):
                    self.write(inner, folder / name, depth=depth + 1)
            elif stat.S_ISREG(entry.mode):
                self._write_file(entry.sha, folder / name)

    def _write_file(self, name: ObjectID, place: Path) -> None:
        blob = self._objects[name]
        if isinstance(blob, Blob):
            self._size_bytes += len(blob.data)
            if self._size_bytes > MAX_BYTES:
                limit = MAX_BYTES // 1_000_000
                raise SourceError(f"The repository's files are more than {limit:,} MB.")
            place.write_bytes(blob.data)


def _checked(name: bytes) -> str:
    """Return a file's name, if it stays where it is put."""
    if name in {b"", b".", b".."} or b"/" in name or b"\\" in name or b"\0" in name:
        raise SourceError(
            f"The repository has a file that climbs out of its folder: {name!r}. Do not trust it."
        )
    return os.fsdecode(name)
