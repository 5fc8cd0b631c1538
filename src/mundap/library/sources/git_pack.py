"""Looks through a pack of git objects that nobody vouches for, before anything is unpacked into memory."""

from __future__ import annotations

import mmap
import zlib
from pathlib import Path

from dulwich.pack import OFS_DELTA, REF_DELTA

from mundap.errors import SourceError

MAX_OBJECTS = 300_000
MAX_OBJECT_BYTES = 50_000_000
MAX_BYTES = 1_000_000_000
_PIECE_BYTES = 1 << 16
_HASH_BYTES = 20
_HEADER_BYTES = 12


def check_pack(file: Path) -> None:
    """Raise SourceError if an object of the pack, or all together, unpack to more than is reasonable.

    A few bytes can stand for a thousand times as many, and a difference of a few bytes for a file of any size.
    """
    with file.open("rb") as opened:
        if file.stat().st_size < _HEADER_BYTES + _HASH_BYTES:
            raise SourceError("The repository's server sent nothing.")
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as pack:
            _check(pack)


def _check(pack: mmap.mmap) -> None:
    count = int.from_bytes(pack[8:12])
    if count > MAX_OBJECTS:
        raise SourceError(f"The repository has more than {MAX_OBJECTS:,} files and folders.")
    place, total = _HEADER_BYTES, 0
    for _ in range(count):
        kind, declared, place = _header(pack, place)
        size, grown, place = _inflated(pack, place, is_delta=kind in {OFS_DELTA, REF_DELTA})
        largest = max(declared, size, grown)
        total += largest
        if largest > MAX_OBJECT_BYTES:
            limit = MAX_OBJECT_BYTES // 1_000_000
            raise SourceError(f"The repository has a file of more than {limit} MB.")
        if total > MAX_BYTES:
            raise SourceError(
                f"The repository's files are more than {MAX_BYTES // 1_000_000:,} MB."
            )


def _header(pack: mmap.mmap, place: int) -> tuple[int, int, int]:
    """Return an object's kind and size, and the place where its packed bytes begin."""
    byte = _byte(pack, place)
    kind, size, shift = byte >> 4 & 7, byte & 15, 4
    while byte & 0x80:
        place += 1
        byte = _byte(pack, place)
        size |= (byte & 0x7F) << shift
        shift += 7
    place += 1
    if kind == REF_DELTA:
        return kind, size, place + _HASH_BYTES
    if kind == OFS_DELTA:
        while _byte(pack, place) & 0x80:
            place += 1
        place += 1
    return kind, size, place


def _byte(pack: mmap.mmap, place: int) -> int:
    if place >= len(pack):
        raise SourceError("The repository's server sent a broken pack.")
    return pack[place]


def _inflated(pack: mmap.mmap, place: int, *, is_delta: bool) -> tuple[int, int, int]:
    """Return how much is packed here, how much that makes as a difference, and where it ends."""
    unpacker = zlib.decompressobj()
    size, head = 0, b""
    rest = b""
    while not unpacker.eof:
        if not rest:
            rest = pack[place : place + _PIECE_BYTES]
            place += len(rest)
            if not rest:
                raise SourceError("The repository's server sent a broken pack.")
        try:
            piece = unpacker.decompress(rest, _PIECE_BYTES)
        except zlib.error as exc:
            raise SourceError("The repository's server sent a broken pack.") from exc
        rest = unpacker.unconsumed_tail
        head = head or piece[:30]
        size += len(piece)
        if size > MAX_OBJECT_BYTES:
            return size, 0, place
    return size, _result_size(head) if is_delta else 0, place - len(unpacker.unused_data)


def _result_size(delta: bytes) -> int:
    """Return the size of what a difference makes, its second number."""
    numbers, number, shift = [], 0, 0
    for byte in delta:
        number |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            numbers.append(number)
            number, shift = 0, 0
        if len(numbers) == 2:
            return numbers[1]
    raise SourceError("The repository's server sent a broken pack.")
