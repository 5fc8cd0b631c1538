"""What allauth does with accounts, written into the audit log as it says it."""

from __future__ import annotations

from typing import Any

from allauth.account import signals as account_signals
from allauth.mfa import signals as mfa_signals
from allauth.mfa.models import Authenticator
from django.dispatch import receiver

from mundap.accounts import audit
from mundap.accounts.models import User


@receiver(account_signals.user_logged_in)
def _logged_in(user: User, **_: Any) -> None:
    if user.is_staff:
        audit.record("staff.logged_in", actor=user, whom=user, about=f"user:{user.pk}")


@receiver(
    [
        account_signals.password_changed,
        account_signals.password_set,
        account_signals.password_reset,
    ]
)
def _password_changed(user: User, **_: Any) -> None:
    audit.record("password.changed", whom=user, about=f"user:{user.pk}")


@receiver(mfa_signals.authenticator_added)
def _second_step_added(user: User, authenticator: Authenticator, **_: Any) -> None:
    _second_step("second_step.added", user, authenticator)


@receiver(mfa_signals.authenticator_removed)
def _second_step_removed(user: User, authenticator: Authenticator, **_: Any) -> None:
    _second_step("second_step.removed", user, authenticator)


@receiver(mfa_signals.authenticator_reset)
def _second_step_reset(user: User, authenticator: Authenticator, **_: Any) -> None:
    _second_step("second_step.codes", user, authenticator)


def _second_step(action: str, user: User, authenticator: Authenticator) -> None:
    audit.record(
        action,
        whom=user,
        about=f"user:{user.pk}",
        details={"type": authenticator.get_type_display()},
    )
