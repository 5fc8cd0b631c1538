"""Addresses that documents say of themselves, as far as a link may lead there."""

from __future__ import annotations


def web_address(url: str) -> str:
    """Return the address if a link may lead there, else an empty text: documents say where they are published."""
    return url if url.lower().startswith(("https://", "http://")) else ""
