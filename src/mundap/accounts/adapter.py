"""Where allauth asks us: who may sign up, how often one may try to log in, how much mail one address gets."""

from __future__ import annotations

import logging
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context as allauth_context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from mundap.accounts.attempts import (
    LOGIN_BY_ACCOUNT_AND_ADDRESS,
    MAILS_TO_ONE_RECIPIENT,
    Attempt,
    count_attempt,
    count_login,
    forget_login_failures,
    give_back_login,
)
from mundap.accounts.models import User
from mundap.accounts.preferences import show_as_preferred
from mundap.config import metrics
from mundap.config.addresses import client_address
from mundap.config.exceptions import describe, respond, wants_json
from mundap.errors import LimitReached

_EMAIL_MAX_CHARACTERS = 254  # as in the user's column, and in RFC 5321
_logger = logging.getLogger(__name__)


class AccountAdapter(DefaultAccountAdapter):
    """allauth's adapter with our limits; those of allauth itself are off, see `attempts`."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Return the setting."""
        return bool(settings.SIGNUP_IS_OPEN)

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the address that trusted proxies vouch for."""
        return client_address(request)

    def clean_email(self, email: str) -> str:
        """Return the address, unless it is longer than ours may be: allauth would cut it and store another one."""
        if len(email) > _EMAIL_MAX_CHARACTERS:
            raise ValidationError(_("This e-mail address is too long."), code="invalid")
        return str(super().clean_email(email))

    def authenticate(self, request: HttpRequest, **credentials: Any) -> AbstractBaseUser | None:
        """Return the user whose password fits. Only failures stay counted."""
        user: AbstractBaseUser | None = super().authenticate(request, **credentials)
        if user is None:
            metrics.logins.labels("failed").inc()
        else:
            give_back_login(email=credentials.get("email", ""), address=client_address(request))
        return user

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count the attempt before the password is looked at; refuse it above the limit.

        The answer is the same for accounts that do not exist.
        """
        email = credentials.get("email", "")
        if count_login(email=email, address=client_address(request)):
            return
        metrics.refusals.labels("attempts").inc()
        error = self.validation_error("too_many_login_attempts")
        if not wants_json(request):
            raise error
        limit = LimitReached(
            str(error.message),
            extra={"retry_after_seconds": LOGIN_BY_ACCOUNT_AND_ADDRESS.seconds},
        )
        reply = describe(limit)
        assert reply is not None  # noqa: S101
        raise ImmediateHttpResponse(respond(request, reply))

    def post_login(self, request: HttpRequest, user: User, **how: Any) -> HttpResponseBase:
        """Return the response to a log-in; it also tells the browser what the user prefers."""
        response: HttpResponseBase = super().post_login(request, user, **how)
        show_as_preferred(response, user)
        metrics.logins.labels("succeeded").inc()
        return response

    def set_password(self, user: AbstractBaseUser, password: str) -> None:
        """Store a changed or reset password. Whoever could do that may log in with it at once."""
        super().set_password(user, password)
        address = client_address(allauth_context.request)
        forget_login_failures(email=user.get_username(), address=address)

    def send_account_already_exists_mail(self, email: str) -> None:
        """Tell who signs up with an address that has an account; only its owner reads that.

        A new account's password is hashed, which takes long enough to be told apart: so is one here.
        """
        if not allauth_context.request.user.is_authenticated:
            make_password(email)
        super().send_account_already_exists_mail(email)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send a mail, unless its recipient had so many lately that somebody is playing with the forms.

        Nothing tells the sender, who must not learn whether the address has an account.
        """
        if count_attempt(Attempt(MAILS_TO_ONE_RECIPIENT, (email,))):
            is_open = self.is_open_for_signup(allauth_context.request)
            super().send_mail(template_prefix, email, {"is_signup_open": is_open, **context})
        else:
            _logger.warning(
                "A mail was held back: its recipient had too many (%s)", template_prefix
            )


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    """allauth's adapter for log-ins elsewhere, whose people may get accounts also where sign-up is closed."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Return the setting."""
        return bool(settings.SOCIAL_SIGNUP_IS_OPEN)
