"""Keyed digests for what lies in Redis: only what this product wrote there is believed."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

from django.conf import settings

SEAL_BYTES = 32


def seal_of(*parts: bytes | memoryview, purpose: bytes) -> bytes:
    """Return the seal of the parts, in this order; `purpose` (at most 16 bytes) keeps kinds of values apart."""
    digest = blake2b(key=_key(settings.CACHE_KEY), digest_size=SEAL_BYTES, person=purpose)
    for part in parts:
        digest.update(part)
    return digest.digest()


@lru_cache(maxsize=4)
def _key(secret: str) -> bytes:
    return blake2b(secret.encode()).digest()
