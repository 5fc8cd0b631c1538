"""Links to where something is published."""

from __future__ import annotations

from django import template

from mundap.library import web_addresses

register = template.Library()


@register.filter
def web_address(url: str) -> str:
    """Return the address if a link may lead there, else an empty text."""
    return web_addresses.web_address(url)
