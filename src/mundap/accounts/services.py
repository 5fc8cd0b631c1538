"""Making accounts other than by signing up: users, administrators, the demo account."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from mundap.accounts import audit
from mundap.accounts.models import User
from mundap.accounts.selectors import find_user_by_email
from mundap.errors import ConfigurationError, InvalidInput

DEMO_EMAIL = "demo@mundap.local"


@dataclass(frozen=True, slots=True)
class DemoAccount:
    """How to log in to the demo account."""

    email: str
    password: str


def make_user(email: str, *, password: str | None, is_admin: bool = False) -> User:
    """Return a new user whose address counts as verified. Raises InvalidInput for a bad address or password.

    Without a password they choose one themselves, by the way of somebody who has forgotten theirs.
    """
    user = User(email=User.objects.normalize_email(email), is_staff=is_admin, is_superuser=is_admin)
    _check(user, password)
    with transaction.atomic():
        user.set_password(password)
        user.save()
        vouch_for_address(user)
        audit.record(
            "user.added", whom=user, about=f"user:{user.pk}", details={"is_superuser": is_admin}
        )
    return user


def make_admin(email: str, *, password: str | None) -> tuple[User, bool]:
    """Return the administrator and whether they are new; somebody who has an account is promoted.

    A password given for an existing account becomes theirs; without one it stays as it was. A new account needs one.
    """
    user = find_user_by_email(email)
    if user is None:
        return make_user(email, password=password or "", is_admin=True), True
    with transaction.atomic():
        user.is_staff = user.is_superuser = user.is_active = True
        if password:
            _check(user, password)
            user.set_password(password)
        user.save()
        vouch_for_address(user)
        changed = {"is_superuser": True, "password": bool(password)}
        audit.record("user.changed", whom=user, about=f"user:{user.pk}", details=changed)
    return user, False


def make_demo_account() -> DemoAccount | None:
    """Return how to log in to the demo account, made now where nobody has an account yet.

    None when there are only other people, or when its password was changed. The password is derived from SECRET_KEY,
    so that it is random for each installation and can be shown again without being kept anywhere. Raises
    ConfigurationError in production.
    """
    if settings.IS_PRODUCTION:
        raise ConfigurationError("There is no demo account in production. Run: mundap create-admin")
    demo = DemoAccount(DEMO_EMAIL, _demo_password())
    user = find_user_by_email(DEMO_EMAIL)
    if user is None:
        if User.objects.exists():
            return None
        with suppress(IntegrityError):  # another process was quicker that starts just now, too
            make_user(demo.email, password=demo.password)
        user = User.objects.get(email=demo.email)
    return demo if user.is_active and user.check_password(demo.password) else None


def _demo_password() -> str:
    key = blake2b(settings.SECRET_KEY.encode()).digest()
    return blake2b(b"demo account", key=key, digest_size=8).hexdigest()


def _check(user: User, password: str | None) -> None:
    try:
        validate_email(user.email)
    except ValidationError as exc:
        raise InvalidInput(f"{user.email!r} is not an e-mail address.") from exc
    if password is None:
        return
    try:
        validate_password(password, user)
    except ValidationError as exc:
        raise InvalidInput(
            " ".join(exc.messages), fields={"password": " ".join(exc.messages)}
        ) from exc


def vouch_for_address(user: User) -> None:
    """Note the address as verified and primary: who makes the account vouches for it."""
    EmailAddress.objects.filter(user=user).exclude(email__iexact=user.email).update(primary=False)
    EmailAddress.objects.update_or_create(
        user=user, email=user.email.lower(), defaults={"verified": True, "primary": True}
    )
