"""The value under which a chat's body lies in Redis: sealed, so that only what this product wrote there is believed.

    4 bytes   format
    16, 16    chat, owner
    8, 16     rev, etag: the state that the body shows
    1, 4      codec (0 plain, 1 zstd), length of the plain body in bytes
    …         the body
    32        keyed BLAKE2b over all before it

Whoever can write to Redis can neither change a body nor put one under another chat or person. It is checked before
anything is unpacked, and no more is unpacked than was said.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hmac import compare_digest
from uuid import UUID

import zstandard

from mundap.config.seals import SEAL_BYTES, seal_of

FORMAT = b"MDB1"
COMPRESSED_FROM_BYTES = 64 * 1024
MOST_BYTES = 8 * 1024 * 1024
_HEAD = struct.Struct(">4s16s16sQ16sBI")
_PLAIN, _ZSTD = 0, 1
_LEVEL = 3


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose body in which state."""

    chat: UUID
    owner: UUID
    rev: int
    etag: UUID


class NotThis(Exception):
    """The value is not the body looked for; `reason` says in which respect."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def seal(identity: Identity, body: bytes) -> bytes | None:
    """Return the value to store, or None for a body too large to be kept."""
    if len(body) > MOST_BYTES:
        return None
    codec, packed = _PLAIN, body
    if len(body) > COMPRESSED_FROM_BYTES:
        codec, packed = _ZSTD, zstandard.ZstdCompressor(level=_LEVEL).compress(body)
    head = _HEAD.pack(
        FORMAT,
        identity.chat.bytes,
        identity.owner.bytes,
        identity.rev,
        identity.etag.bytes,
        codec,
        len(body),
    )
    return b"".join((head, packed, seal_of(head, packed, purpose=FORMAT)))


def unseal(value: bytes, *, expected: Identity) -> bytes:
    """Return the body. Raises NotThis with `tag`, `owner`, `rev` or `etag` for any doubt."""
    if len(value) < _HEAD.size + SEAL_BYTES:
        raise NotThis("tag")
    whole = memoryview(value)
    head, packed = whole[: _HEAD.size], whole[_HEAD.size : -SEAL_BYTES]
    if not compare_digest(seal_of(head, packed, purpose=FORMAT), whole[-SEAL_BYTES:]):
        raise NotThis("tag")
    form, chat, owner, rev, etag, codec, length = _HEAD.unpack(head)
    if form != FORMAT or length > MOST_BYTES:
        raise NotThis("tag")
    if (chat, owner) != (expected.chat.bytes, expected.owner.bytes):
        raise NotThis("owner")
    if rev != expected.rev:
        raise NotThis("rev")
    if etag != expected.etag.bytes:
        raise NotThis("etag")
    return _unpack(packed, codec=codec, length=length)


def _unpack(packed: memoryview, *, codec: int, length: int) -> bytes:
    if codec == _PLAIN:
        body = bytes(packed)
    elif codec == _ZSTD and zstandard.frame_content_size(packed) == length:
        body = zstandard.ZstdDecompressor().decompress(packed, max_output_size=length)
    else:
        raise NotThis("tag")
    if len(body) != length:
        raise NotThis("tag")
    return body
