"""Fields of the administration's forms."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.accounts.selectors import find_user_by_email


class UserByEmailField(forms.EmailField):
    """A person, by their e-mail address."""

    def prepare_value(self, value: Any) -> Any:
        """Return the address of a user, who is given by id at first; what was typed stays."""
        if isinstance(value, UUID):
            return User.objects.filter(pk=value).values_list("email", flat=True).first()
        return value

    def clean(self, value: Any) -> Any:
        """Return the user, None for no address. Raises ValidationError where nobody has it."""
        email = super().clean(value)
        user = find_user_by_email(email) if email else None
        if email and user is None:
            raise ValidationError(_("Nobody has an account with this address."))
        return user

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Return whether it is another person."""
        return super().has_changed(self.prepare_value(initial), data)
