"""Code within running text."""

from __future__ import annotations

from django import template
from django.utils.safestring import SafeString, mark_safe

from mundap.library import long_names

register = template.Library()


@register.filter
def breakable(name: str) -> SafeString:
    """Return the name with places to break at, escaped."""
    return mark_safe(long_names.breakable(name))  # noqa: S308 - escaped there
