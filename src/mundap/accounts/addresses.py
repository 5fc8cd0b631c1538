"""Changing one's e-mail address: the new one counts once its owner has opened a link sent there.

allauth's own way loses the address of somebody whose present one was never confirmed; without mail, none ever is.
There the change works at once, as signing up does.
"""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from django.conf import settings
from django.core import signing
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from mundap.accounts import audit
from mundap.accounts.models import User
from mundap.accounts.selectors import find_user_by_email
from mundap.errors import Conflict, NotFound

LINK_SECONDS = 24 * 3600
_SALT = "mundap.address"


def ask_to_change_address(request: HttpRequest, user: User, email: str) -> bool:
    """Send the link that changes the user's address, or change it at once where no mail is set up; tell which: False.

    With mail the answer is the same whether somebody has the address already. Raises Conflict, without mail, if so.
    """
    if not settings.HAS_MAIL:
        _change(user, email, is_proven=False)
        return False
    adapter = get_adapter(request)
    if find_user_by_email(email):
        adapter.send_account_already_exists_mail(email)
        return True
    asked = signing.dumps({"user": str(user.pk), "from": user.email, "to": email}, salt=_SALT)
    link = request.build_absolute_uri(reverse("settings:confirm_address", args=[asked]))
    adapter.send_mail("account/email/address_change", email, {"link": link, "user": user})
    return True


def read_link(asked: str) -> tuple[User, str]:
    """Return whose address a link changes, and to what. Raises NotFound for one that is forged, old or used."""
    try:
        said: dict[str, Any] = signing.loads(asked, salt=_SALT, max_age=LINK_SECONDS)
    except signing.BadSignature:
        said = {}
    user = said and User.objects.filter(pk=said["user"], email=said["from"], is_active=True).first()
    if not user:
        raise NotFound(_("This link is used up, or too old."))
    return user, said["to"]


def change_address(user: User, email: str) -> None:
    """Make it the user's address, which they have shown to be theirs. Raises Conflict if it is taken by now."""
    old = user.email
    _change(user, email, is_proven=True)
    context = {"from_email": old, "to_email": email}
    get_adapter().send_notification_mail("account/email/email_changed", user, context, email=old)


def _change(user: User, email: str, *, is_proven: bool) -> None:
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        if (other := find_user_by_email(email)) and other != user:
            raise Conflict(_("There is an account with this address already."))
        user.email = email
        user.save(update_fields=["email"])
        EmailAddress.objects.filter(user=user).delete()
        EmailAddress.objects.create(
            user=user, email=email.lower(), verified=is_proven, primary=True
        )
        audit.record("address.changed", whom=user, about=f"user:{user.pk}")
