"""The reader's earlier chats, for pages that have nothing else to do with chats."""

from __future__ import annotations

from typing import Any, cast

from django import template

from mundap.accounts.models import User
from mundap.chats.listed import side

register = template.Library()


@register.inclusion_tag("chats/_side.html", takes_context=True)
def earlier_chats(context: template.RequestContext) -> dict[str, Any]:
    """Return what the list beside the page shows."""
    return side(cast("User", context.request.user))
