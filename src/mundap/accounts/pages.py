"""The settings: language and looks, log-in and security, API tokens. Passwords and addresses have allauth's pages."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from allauth.mfa.utils import is_mfa_enabled
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import override
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.i18n import set_language

from mundap.accounts import audit
from mundap.accounts.addresses import ask_to_change_address, change_address, read_link
from mundap.accounts.forms import AddressForm, PreferencesForm, TokenForm
from mundap.accounts.models import ApiToken, User
from mundap.accounts.preferences import forget_unchosen, show_as_preferred
from mundap.accounts.selectors import get_token_for, list_tokens_for
from mundap.accounts.sessions import end_session, end_sessions, list_sessions_for
from mundap.accounts.tokens import make_token, take_back
from mundap.errors import Conflict


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def preferences(request: HttpRequest) -> HttpResponse:
    """Language and theme."""
    user = cast("User", request.user)
    form = PreferencesForm(request.POST or None, instance=user)
    if not form.is_valid():
        status = 400 if form.is_bound else 200
        return render(request, "settings/preferences.html", {"form": form}, status=status)
    form.save()
    with override(user.language or None):
        messages.success(request, _("Saved."))
    response = redirect("settings:preferences")
    show_as_preferred(response, user)
    forget_unchosen(response, user)
    return response


@require_POST
def language(request: HttpRequest) -> HttpResponse:
    """Choose a language at the foot of any page; for somebody who is logged in it stays chosen."""
    response = set_language(request)
    chosen = request.POST.get("language", "")
    if request.user.is_authenticated and chosen in dict(settings.LANGUAGES):
        User.objects.filter(pk=request.user.pk).update(language=chosen)
    return response


@login_required
@never_cache
@require_safe
def security(request: HttpRequest) -> HttpResponse:
    """How one logs in, and where one is logged in."""
    user = cast("User", request.user)
    context = {
        "has_mfa": is_mfa_enabled(user),
        "social_accounts": SocialAccount.objects.filter(user=user),
        "sessions": list_sessions_for(user, current_key=request.session.session_key),
    }
    return render(request, "settings/security.html", context)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def address(request: HttpRequest) -> HttpResponse:
    """Another e-mail address."""
    user = cast("User", request.user)
    form = AddressForm(request, user)
    if form.is_valid():
        try:
            is_asked = ask_to_change_address(request, user, form.cleaned_data["email"])
        except Conflict as exc:
            form.add_error("email", str(exc.message))
        else:
            said = _("Look into the mail of the new address.") if is_asked else _("Saved.")
            messages.success(request, said)
            return redirect("settings:security")
    context = {"form": form, "has_mail": settings.HAS_MAIL}
    return render(request, "settings/address.html", context, status=400 if form.errors else 200)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def confirm_address(request: HttpRequest, asked: str) -> HttpResponse:
    """The link in the mail: whoever can open it owns the address, wherever they are logged in."""
    user, email = read_link(asked)
    if request.method != "POST":
        return render(request, "settings/confirm_address.html", {"email": email})
    change_address(user, email)
    messages.success(request, _("Your address is changed."))
    return redirect("settings:security")


@login_required
@require_POST
def end_one_session(request: HttpRequest, session_id: int) -> HttpResponse:
    """Log out in one place."""
    end_session(cast("User", request.user), session_id)
    messages.success(request, _("You are logged out there."))
    return redirect("settings:security")


@login_required
@require_POST
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    """Log out everywhere but here."""
    end_sessions(cast("User", request.user), but_key=request.session.session_key)
    messages.success(request, _("You are logged out everywhere else."))
    return redirect("settings:security")


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def tokens(request: HttpRequest) -> HttpResponse:
    """The API tokens; a new one is shown in the answer to the form that made it, and nowhere else."""
    user = cast("User", request.user)
    form, made, secret = TokenForm(request.POST or None), None, ""
    if form.is_valid():
        made, secret, form = _made_token(user, form)
    context = {"form": form, "made": made, "secret": secret, "tokens": list_tokens_for(user)}
    status = 400 if form.errors else 200
    return render(request, "settings/tokens.html", context, status=status)


def _made_token(user: User, form: TokenForm) -> tuple[ApiToken | None, str, TokenForm]:
    """Return the token that the form asks for, its secret, and an empty form; or the form with what is wrong."""
    try:
        made, secret = make_token(
            user,
            name=form.cleaned_data["name"],
            questions_per_day=form.cleaned_data["questions_per_day"],
        )
    except Conflict as exc:
        form.add_error(None, str(exc.message))
        return None, "", form
    return made, secret, TokenForm()


@login_required
@require_POST
def delete_token(request: HttpRequest, token_id: UUID) -> HttpResponse:
    """Take a token back: it stops working at once."""
    take_back(get_token_for(cast("User", request.user), token_id))
    messages.success(request, _("The token no longer works."))
    return redirect("settings:tokens")


@login_required
@never_cache
@require_safe
def data(request: HttpRequest) -> HttpResponse:
    """Taking one's data home, and deleting one's account; both are done by `chats.personal_pages`.

    And what others see of it.
    """
    return data_page(request)


def data_page(request: HttpRequest, *, trouble: str = "", status: int = 200) -> HttpResponse:
    """Return that page, with what is wrong with the form that was sent, if anything is."""
    shown = {
        "readings": audit.list_readings_of(cast("User", request.user)),
        "kept_days": settings.KEEP_CHATS_DAYS,
        "trouble": trouble,
    }
    return render(request, "settings/data.html", shown, status=status)
