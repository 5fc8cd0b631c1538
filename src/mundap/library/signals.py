"""What the shelf tells those above it."""

from __future__ import annotations

from django.dispatch import Signal

pages_stored = Signal()
"""Pages have been stored in the background; their passages wait to be indexed."""
