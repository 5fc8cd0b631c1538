"""The shelf is that of the chats' tests."""

from __future__ import annotations

from tests.chats.conftest import shelf

__all__ = ["shelf"]
