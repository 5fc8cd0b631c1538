"""Two-step log-in, which allauth has, with what it leaves to a cache kept in Postgres: limits, and codes used once."""

from __future__ import annotations

import logging
from typing import Any

from allauth.account.adapter import get_adapter as get_account_adapter
from allauth.core.internal.cryptokit import normalize_user_code
from allauth.mfa.adapter import DefaultMFAAdapter, get_adapter
from allauth.mfa.base.forms import AuthenticateForm as AllauthAuthenticateForm
from allauth.mfa.base.forms import ReauthenticateForm as AllauthReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import validate_totp_code
from allauth.mfa.utils import decrypt
from cryptography.fernet import InvalidToken
from django.db import transaction

from mundap.accounts.attempts import Attempt, AttemptLimit, count_attempt, give_back
from mundap.config import metrics
from mundap.config.keys import cipher, rotated

_PURPOSE = b"second step"
_logger = logging.getLogger(__name__)
CODES_BY_ACCOUNT = AttemptLimit("login-code", 10, 15 * 60)
_CODE_ONCE = AttemptLimit("login-code-used", 1, 2 * 60)


class SecondStepAdapter(DefaultMFAAdapter):
    """allauth's adapter; secrets are encrypted in the database."""

    def encrypt(self, text: str) -> str:
        """Return the text encrypted with TOKEN_KEY."""
        return cipher(_PURPOSE).encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Return the text."""
        return cipher(_PURPOSE).decrypt(encrypted_text.encode()).decode()


class _CodeOnce:
    """A code of the app or a recovery code, tried a few times and used once."""

    user: Any
    cleaned_data: dict[str, Any]

    def clean_code(self) -> str:
        """Return the code. Raises ValidationError, the same for wrong and used ones."""
        attempt = Attempt(CODES_BY_ACCOUNT, (str(self.user.pk),))
        if not count_attempt(attempt):
            metrics.refusals.labels("attempts").inc()
            raise get_account_adapter().validation_error("too_many_login_attempts")
        code: str = self.cleaned_data["code"]
        for authenticator in Authenticator.objects.filter(user=self.user):
            if _is_valid(authenticator, code):
                self.authenticator = authenticator
                give_back([attempt])
                return code
        metrics.logins.labels("failed").inc()
        raise get_adapter().validation_error("incorrect_code")


class AuthenticateForm(_CodeOnce, AllauthAuthenticateForm):
    """The second step of a log-in."""


class ReauthenticateForm(_CodeOnce, AllauthReauthenticateForm):
    """The same once more, before something that matters."""


def _is_valid(authenticator: Authenticator, code: str) -> bool:
    try:
        if authenticator.type != Authenticator.Type.TOTP:
            return bool(authenticator.wrap().validate_code(code))
        if not validate_totp_code(decrypt(authenticator.data["secret"]), code):
            return False
    except InvalidToken:
        _logger.warning("A second step's key is gone: see MUNDAP_TOKEN_KEY_FALLBACKS")
        return False
    # As allauth compares them: "123 456" is the code "123456" once more.
    return count_attempt(Attempt(_CODE_ONCE, (str(authenticator.pk), normalize_user_code(code))))


def rekey() -> int:
    """Bring the stored secrets under the present key; return how many people's they were."""
    rewritten = 0
    with transaction.atomic():
        for each in Authenticator.objects.select_for_update().order_by("pk"):
            data = {name: _rekeyed(value, name) for name, value in each.data.items()}
            if data != each.data:
                Authenticator.objects.filter(pk=each.pk).update(data=data)
                rewritten += 1
    return rewritten


def _rekeyed(value: Any, name: str) -> Any:
    if name == "migrated_codes" and isinstance(value, list):
        return [rotated(each, _PURPOSE) for each in value]
    return rotated(value, _PURPOSE) if name in ("secret", "seed") else value
