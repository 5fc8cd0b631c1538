"""The client's network address, believing only proxies that the settings trust."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """Return the client's address for limits and logs; an IPv6 one as its /64, which one household has whole.

    With TRUSTED_PROXIES = n, the n last entries of X-Forwarded-For were written by our own proxies, and the first of
    these is the client. Anything before it was written by the client, who may write what they like.
    """
    address = str(request.META.get("REMOTE_ADDR") or "")
    if proxies := settings.TRUSTED_PROXIES:
        forwarded = str(request.META.get("HTTP_X_FORWARDED_FOR") or "").split(",")
        address = _readable(forwarded[-min(proxies, len(forwarded))]) or address
    return _readable(address) or "unknown"


def _readable(text: str) -> str:
    """Return the address without its port, or "" where it is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((address, 64), strict=False).network_address)
    return str(address)
