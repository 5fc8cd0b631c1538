"""Unpacks zip and tar archives that nobody vouches for: nothing lands outside, nothing grows without end."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, cast

from mundap.errors import SourceError

MAX_MEMBERS = 100_000
MAX_MEMBER_BYTES = 100_000_000
MAX_BYTES = 1_000_000_000
# Of a packed tar in all, with what is not wanted of it.
MAX_STREAM_BYTES = 2 * MAX_BYTES
_CHUNK_BYTES = 1 << 20
_LINK_BYTES = 4096
_PACKED: dict[bytes, Callable[[Path], object]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
# Two members of one name, a file that is also a folder, a name that is too long.
_BAD_NAMES = {
    errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL,
}  # fmt: skip


def is_archive(file: Path) -> bool:
    """Return whether the file is a zip or tar archive."""
    return _is_zip(file) or _is_tar(file)


def unpack(
    file: Path,
    folder: Path,
    *,
    name: str,
    under: str = "",
    strip_top: bool = False,
    max_bytes: int | None = None,
) -> Path:
    """Unpack the files below `under` and return the folder where they are.

    With `strip_top` the one folder at an archive's top, as every source distribution has it, does not count. `name` is
    what messages call the archive. Nothing is left behind where a SourceError is raised.
    """
    unpacked = folder / "unpacked"
    unpacked.mkdir(parents=True)
    try:
        with _broken_as_source_error(name), bad_names_as_source_error(name):
            members = _members(file, name=name)
            place = partial(_place, under=under, strip_top=strip_top)
            _copy(members, unpacked, name=name, place=place, max_bytes=max_bytes or MAX_BYTES)
    except BaseException:
        shutil.rmtree(unpacked, ignore_errors=True)
        raise
    if not any(unpacked.iterdir()):
        shutil.rmtree(unpacked)
        where = f" has no folder {under!r} with files in it" if under else " is empty"
        raise SourceError(f"{name}{where}.")
    return _below_single_folder(unpacked) if not strip_top and not under else unpacked


def _below_single_folder(folder: Path) -> Path:
    found = list(folder.iterdir())
    return found[0] if len(found) == 1 and found[0].is_dir() else folder


@contextmanager
def _broken_as_source_error(name: str) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as exc:
        raise SourceError(
            f"{name} is not a whole archive: {exc}. Fetch or make it again, then repeat the command."
        ) from exc
    except (NotImplementedError, RuntimeError) as exc:
        raise SourceError(f"{name} cannot be unpacked: {exc}.") from exc
    except OSError as exc:
        # gzip and bz2 report damage as a bare OSError; a full disk has a number.
        if exc.errno is not None:
            raise
        raise SourceError(f"{name} is not a whole archive: {exc}. Fetch or make it again.") from exc


@contextmanager
def bad_names_as_source_error(name: str) -> Iterator[None]:
    """Turn what the file system says of names that cannot be used into SourceError."""
    try:
        yield
    except OSError as exc:
        if exc.errno not in _BAD_NAMES:
            raise
        raise SourceError(
            f"{name} has a file whose name cannot be used here: {exc.strerror}."
        ) from exc


def _copy(
    members: Iterator[tuple[str, IO[bytes] | None]],
    folder: Path,
    *,
    name: str,
    place: Callable[[str], PurePosixPath | None],
    max_bytes: int,
) -> None:
    size_bytes = 0
    for count, (member, content) in enumerate(members):
        if count >= MAX_MEMBERS:
            raise SourceError(f"{name} has more than {MAX_MEMBERS:,} files.")
        if content is None:
            continue
        target = place(member)
        if target is None:
            continue
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        size_bytes += _write(content, path)
        if size_bytes > max_bytes:
            raise SourceError(f"{name} unpacks to more than {max_bytes // 1_000_000:,} MB.")


def _write(content: IO[bytes], place: Path) -> int:
    """Write a file and return its size; of one that is too large so much that it is seen to be."""
    size_bytes = 0
    with place.open("wb") as out:
        while size_bytes <= MAX_MEMBER_BYTES and (chunk := content.read(_CHUNK_BYTES)):
            size_bytes += out.write(chunk[: MAX_MEMBER_BYTES + 1 - size_bytes])
    return size_bytes


def _place(member: str, *, under: str, strip_top: bool) -> PurePosixPath | None:
    """Return where a member goes, or None if it lies elsewhere than `under`."""
    parts = PurePosixPath(member).parts[1 if strip_top else 0 :]
    wanted = PurePosixPath(under).parts
    if parts[: len(wanted)] != wanted or len(parts) <= len(wanted):
        return None
    return PurePosixPath(*parts[len(wanted) :])


def _members(file: Path, *, name: str) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Yield each member's path with its content, None for what is no file; refuse what climbs out."""
    if _is_tar(file):  # first: a tar may end in a zip file
        yield from _tar_members(file, name=name)
    elif _is_zip(file):
        yield from _zip_members(file, name=name)
    else:
        raise SourceError(
            f"{name} is not an archive. Name a folder, or a .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz file."
        )


def _is_zip(file: Path) -> bool:
    """Return whether it is a zip file, or the beginning of one: its table of contents stands at the end."""
    with file.open("rb") as stream:
        return zipfile.is_zipfile(file) or stream.read(4) == b"PK\x03\x04"


def _is_tar(file: Path) -> bool:
    """Return whether it begins like a tar, packed or not. Python's own test reads on, as far as the file leads it."""
    try:
        with _plain(file) as stream:
            head = stream.read(tarfile.BLOCKSIZE)
        if head.strip(b"\0"):  # zeros are the end of one, so nothing but zeros is an empty one
            tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, OSError, EOFError, zlib.error, lzma.LZMAError):
        return False
    return bool(head)


def _plain(file: Path) -> IO[bytes]:
    """Open the file, and unpack it on the way if it is packed."""
    with file.open("rb") as stream:
        head = stream.read(6)
    opener = next((found for mark, found in _PACKED.items() if head.startswith(mark)), None)
    return cast("IO[bytes]", opener(file) if opener else file.open("rb"))


class _Bounded:
    """A stream for tarfile, which takes a header's word for how long it is, and reads that much into memory."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream = stream
        self._name = name

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= 2 * _CHUNK_BYTES:
            raise SourceError(f"{self._name} has a header that is too large to be one.")
        data = self._stream.read(size)
        self._check(self._stream.tell())
        return data

    def seek(self, place: int) -> int:
        self._check(place)
        return self._stream.seek(place)

    def tell(self) -> int:
        return self._stream.tell()

    def _check(self, place: int) -> None:
        if place > MAX_STREAM_BYTES:
            limit = MAX_STREAM_BYTES // 1_000_000
            raise SourceError(f"{self._name} unpacks to more than {limit:,} MB.")


def _zip_members(file: Path, *, name: str) -> Iterator[tuple[str, IO[bytes] | None]]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            path = _checked(info.filename, name=name)
            mode = info.external_attr >> 16
            if stat.S_ISLNK(mode):
                with archive.open(info) as content:
                    target = content.read(_LINK_BYTES).decode("utf-8", "replace")
                _check_link(path, target, name=name)
                yield path, None
            elif info.is_dir():
                yield path, None
            else:
                with archive.open(info) as content:
                    yield path, content


def _tar_members(file: Path, *, name: str) -> Iterator[tuple[str, IO[bytes] | None]]:
    with (
        _plain(file) as stream,
        tarfile.TarFile(fileobj=cast("IO[bytes]", _Bounded(stream, name))) as archive,
    ):
        for info in archive:
            path = _checked(info.name, name=name)
            if info.issym():
                _check_link(path, info.linkname, name=name)
                yield path, None
            elif info.islnk():
                _checked(info.linkname, name=name)
                yield path, None
            elif info.isdir():
                yield path, None
            elif info.isreg():
                yield path, archive.extractfile(info)
            else:
                raise SourceError(f"{name} has a member that is neither file nor folder: {path}")


def _checked(member: str, *, name: str) -> str:
    """Return a member's path, if it stays inside."""
    path = member.replace("\\", "/")
    is_outside = path.startswith("/") or ".." in path.split("/") or path[1:2] == ":" or "\0" in path
    if is_outside:
        raise SourceError(
            f"{name} has a member that climbs out of its folder: {member!r}. It was not unpacked; "
            "do not trust this archive."
        )
    return path


def _check_link(member: str, target: str, *, name: str) -> None:
    depth = len(PurePosixPath(member).parts) - 1
    for part in target.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0 or target.startswith("/"):
            raise SourceError(
                f"{name} has a link that leads out of its folder: {member!r}. It was not unpacked; "
                "do not trust this archive."
            )
