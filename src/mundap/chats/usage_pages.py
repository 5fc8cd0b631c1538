"""What is left, among the settings."""

from __future__ import annotations

from typing import cast

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from mundap.accounts.models import User
from mundap.chats.limits import standing_of
from mundap.chats.usage import has_price
from mundap.llm import client


@login_required
@never_cache
@require_safe
def usage(request: HttpRequest) -> HttpResponse:
    """What one has used today and this month, and what one may use."""
    standing = standing_of(cast("User", request.user).pk)
    context = {
        "standing": standing,
        "has_model": client.has_model(),
        "model": settings.CHAT_MODEL,
        "currency": settings.CURRENCY,
        "has_spending": bool(settings.MODEL_PRICES or standing.spending.allowed),
        "has_price": has_price(),
    }
    return render(request, "chats/usage.html", context)
