"""The keys that secrets in the database are kept under: the present one, and those before it, which still open things.

`docs/operating.md` says how a key is changed; `mundap rekey` brings what it can under the present one.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import TypeVar

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

T = TypeVar("T")


def each_token_key(make: Callable[[str], T]) -> list[T]:
    """Return what `make` makes of each key for tokens, of the present one first."""
    return [make(key) for key in (settings.TOKEN_KEY, *settings.TOKEN_KEY_FALLBACKS)]


def keyed_digest(data: bytes, *, key: str, size: int = 32) -> bytes:
    """Return a digest of the data that nobody without the key can check a guess against."""
    return blake2b(data, key=_key(key), digest_size=size).digest()


def cipher(purpose: bytes) -> MultiFernet:
    """Return what encrypts with the present key for tokens and decrypts with any; `purpose` has at most 16 bytes."""
    return MultiFernet(each_token_key(lambda key: _fernet(key, purpose)))


def opened(encrypted: str, purpose: bytes) -> bytes | None:
    """Return what was encrypted; None where no key opens it."""
    try:
        return cipher(purpose).decrypt(encrypted.encode())
    except InvalidToken:
        return None


def rotated(encrypted: str, purpose: bytes) -> str:
    """Return it encrypted with the present key; as it is where it is so already, or where no key opens it."""
    try:
        _fernet(settings.TOKEN_KEY, purpose).decrypt(encrypted.encode())
    except InvalidToken:
        try:
            return cipher(purpose).rotate(encrypted.encode()).decode()
        except InvalidToken:
            return encrypted
    return encrypted


@lru_cache(maxsize=8)
def key_id(key: str) -> str:
    """Return what tells keys apart without saying anything of them: 16 letters."""
    return blake2b(key.encode(), digest_size=8, person=b"mundap key id").hexdigest()


def _fernet(key: str, purpose: bytes) -> Fernet:
    return Fernet(urlsafe_b64encode(blake2b(key.encode(), digest_size=32, person=purpose).digest()))


@lru_cache(maxsize=8)
def _key(secret: str) -> bytes:
    return blake2b(secret.encode()).digest()
