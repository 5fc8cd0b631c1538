"""Unpacks what a server sent packed, with a bound on what comes out."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from mundap.errors import FetchFailed

ACCEPTED = "gzip, deflate"
_PIECE_BYTES = 1 << 16


def decoded(chunks: Iterable[bytes], encoding: str, *, max_bytes: int, name: str) -> bytes:
    """Return the body, unpacked. Raises FetchFailed where it is broken, in another encoding or grows too large."""
    pieces: list[bytes] = []
    size_bytes = 0
    for piece in _unpacked(chunks, encoding.strip().lower(), name=name):
        size_bytes += len(piece)
        if size_bytes > max_bytes:
            raise FetchFailed(f"{name} is larger than {max_bytes / 1_000_000:g} MB.")
        pieces.append(piece)
    return b"".join(pieces)


def _unpacked(chunks: Iterable[bytes], encoding: str, *, name: str) -> Iterable[bytes]:
    if encoding in {"", "identity"}:
        return chunks
    if encoding in {"gzip", "x-gzip", "deflate"}:
        return _inflated(chunks, is_gzip=encoding != "deflate", name=name)
    raise FetchFailed(f"{name} came in an encoding that nobody asked for: {encoding[:50]!r}.")


def _inflated(chunks: Iterable[bytes], *, is_gzip: bool, name: str) -> Iterable[bytes]:
    """Yield what is packed, in pieces of bounded size: a few bytes can stand for a thousand times as many."""
    unpacker = None
    try:
        for chunk in chunks:
            if unpacker is None:
                # "deflate" means zlib's format, and some servers send the bare one.
                is_bare = not is_gzip and chunk[0] & 0x0F != 8
                unpacker = zlib.decompressobj(31 if is_gzip else -15 if is_bare else 15)
            rest, is_full = chunk, True
            while (rest or is_full) and not unpacker.eof:
                piece = unpacker.decompress(rest, _PIECE_BYTES)
                rest, is_full = unpacker.unconsumed_tail, len(piece) == _PIECE_BYTES
                yield piece
    except zlib.error as exc:
        raise FetchFailed(f"{name} is packed wrongly: {exc}.", is_retryable=True) from exc
    if unpacker is not None and not unpacker.eof:
        raise FetchFailed(f"{name} broke off in the middle.", is_retryable=True)
