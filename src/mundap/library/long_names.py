"""Long names in code, as `django.core.cache.backends.redis.RedisCache`: where they may go on in the next line."""

from __future__ import annotations

import re
from html import escape

SEAM = re.compile(r"(?<=[./_:=,(])(?=\w)")


def breakable(name: str) -> str:
    """Return the name as HTML that breaks where its parts meet, rather than anywhere."""
    return "<wbr>".join(escape(part) for part in SEAM.split(name))
