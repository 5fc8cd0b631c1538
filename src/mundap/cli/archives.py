"""A backup's file: a ZIP archive that other programs open, too, written under another name until it is whole.

database.dump.zst   pg_dump's custom format, compressed
settings.env        the settings in force, without secrets
manifest.json       versions, migrations, numbers of rows, and a SHA-256 of each of the others; written last
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import zstandard

from mundap.errors import InvalidInput

FORMAT = 1
DATABASE, SETTINGS, MANIFEST = "database.dump.zst", "settings.env", "manifest.json"
CHUNK_BYTES = 1 << 20
_LEVEL = 3
_MODE = 0o600


class ArchiveWriter:
    """Writes one archive: its members, then what is said of them."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True)
        self._members: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()  # also one that is given up, which would complain of it later

    def add(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write a member as it comes."""
        digest, size = hashlib.sha256(), 0
        with self._zip.open(name, "w", force_zip64=True) as member:
            for chunk in chunks:
                member.write(chunk)
                digest.update(chunk)
                size += len(chunk)
        self._members[name] = {"bytes": size, "sha256": digest.hexdigest()}

    def close(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest and what an archive ends with."""
        content = {"format": FORMAT, **manifest, "members": self._members}
        self._zip.writestr(MANIFEST, json.dumps(content, indent=1, ensure_ascii=False))
        self._zip.close()
        self._file.flush()


@contextmanager
def new_archive(path: Path) -> Iterator[tuple[ArchiveWriter, Path]]:
    """Give a writer and where it writes for now; after the block the file has its name, or nothing is left of it."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as exc:
        raise InvalidInput(f"{path.parent} cannot be written: {exc.strerror}.") from exc
    draft = Path(name)
    try:
        draft.chmod(_MODE)
        with os.fdopen(handle, "wb") as file:
            with ArchiveWriter(file) as writer:
                yield writer, draft
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
        _keep_name(path.parent)
    except OSError as exc:
        raise InvalidInput(f"{path} cannot be written: {exc.strerror or exc}.") from exc
    finally:
        draft.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Archive:
    """A backup whose checksums are right."""

    path: Path
    manifest: Mapping[str, Any]

    def database(self) -> Iterator[bytes]:
        """Yield what pg_dump wrote."""
        with zipfile.ZipFile(self.path) as opened, opened.open(DATABASE) as member:
            yield from unpacked(member)


def open_archive(path: Path) -> Archive:
    """Return the backup, after reading all of it. Raises InvalidInput for anything that is not as it was written."""
    try:
        with zipfile.ZipFile(path) as opened:
            manifest = json.loads(opened.read(MANIFEST))
            if manifest["format"] > FORMAT:
                raise InvalidInput(f"{path} was made by a newer Mundap. Install that version.")
            for name, said in manifest["members"].items():
                digest = hashlib.sha256()
                with opened.open(name) as member:
                    while chunk := member.read(CHUNK_BYTES):
                        digest.update(chunk)
                if digest.hexdigest() != said["sha256"]:
                    raise InvalidInput(f"{path} is damaged: {name} is not what was written.")
    except FileNotFoundError as exc:
        raise InvalidInput(f"There is no file {path}.") from exc
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError) as exc:
        raise InvalidInput(f"{path} is not a backup of Mundap's, or is damaged: {exc}") from exc
    return Archive(path, manifest)


def packed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks compressed, with a checksum at the end."""
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compressobj()
    for chunk in chunks:
        if out := compressor.compress(chunk):
            yield out
    yield compressor.flush()


def unpacked(member: IO[bytes]) -> Iterator[bytes]:
    """Yield what was packed. Raises InvalidInput where it is damaged."""
    try:
        with zstandard.ZstdDecompressor().stream_reader(member, closefd=False) as reader:
            while chunk := reader.read(CHUNK_BYTES):
                yield chunk
    except zstandard.ZstdError as exc:
        raise InvalidInput(f"The backup is damaged: {exc}") from exc


def _keep_name(folder: Path) -> None:
    """Have the folder's entry written, too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
