"""Taking one's data home, and deleting one's account; the page with both is `accounts.pages.data`."""

from __future__ import annotations

from typing import cast

from allauth.account.adapter import get_adapter
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from mundap.accounts.models import User
from mundap.accounts.pages import data_page
from mundap.chats.personal_data import delete_account, export_of
from mundap.config.throttles import require_rate
from mundap.errors import InvalidInput, LimitReached, MundapError


@login_required
@never_cache
@require_safe
async def export(request: HttpRequest) -> StreamingHttpResponse:
    """Everything of the user's as one file, sent as it is read."""
    user = cast("User", await request.auser())
    name = f"mundap-{timezone.localdate().isoformat()}.zip"
    return StreamingHttpResponse(
        export_of(user),
        content_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@login_required
@never_cache
@require_POST
def delete(request: HttpRequest) -> HttpResponse:
    """Delete the account, once its owner has shown that it is them and that they mean it."""
    user = cast("User", request.user)
    try:
        _check(request, user)
    except MundapError as exc:
        return data_page(request, trouble=exc.message, status=exc.status)
    logout(request)
    delete_account(user)
    return redirect("personal:gone")


@never_cache
@require_safe
def gone(request: HttpRequest) -> HttpResponse:
    """What somebody sees who has just deleted their account."""
    return render(request, "settings/gone.html")


def _check(request: HttpRequest, user: User) -> None:
    """Raise InvalidInput or LimitReached unless the form has the password, and says that its sender is sure."""
    require_rate("user", str(user.pk))
    if request.POST.get("sure") != "1":
        raise InvalidInput(_("Tick that you know that this cannot be undone."))
    if not user.has_usable_password():
        if request.POST.get("email", "").strip().lower() != user.email.lower():
            raise InvalidInput(_("That is not the address of this account."))
        return
    password = request.POST.get("password", "")
    try:
        known = get_adapter().authenticate(request, email=user.email, password=password)
    except ValidationError as exc:
        raise LimitReached(" ".join(exc.messages)) from exc
    if known != user:
        raise InvalidInput(_("That is not your password."))
