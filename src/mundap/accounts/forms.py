"""The forms of the settings. Each names the columns that it may change."""

from __future__ import annotations

from allauth.account.adapter import get_adapter
from django import forms
from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import get_language_info
from django.utils.translation import gettext_lazy as _

from mundap.accounts.models import ApiToken, User
from mundap.accounts.tokens import MOST_QUESTIONS_PER_DAY


class PreferencesForm(forms.ModelForm):  # type: ignore[type-arg]
    """Language and theme."""

    class Meta:
        model = User
        fields = ("language", "theme")
        labels = {"language": _("Language"), "theme": _("Colours")}

    language = forms.ChoiceField(
        label=_("Language"),
        choices=[
            ("", _("as the browser")),
            *((code, get_language_info(code)["name_local"]) for code, _name in settings.LANGUAGES),
        ],
        widget=forms.RadioSelect,
        required=False,
    )
    theme = forms.ChoiceField(
        label=_("Colours"),
        choices=[("", _("as the system")), *User.Theme.choices],
        widget=forms.RadioSelect,
        required=False,
    )


class AddressForm(forms.Form):
    """A new e-mail address, and the password of somebody who has one."""

    email = forms.EmailField(
        label=_("New address"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )
    password = forms.CharField(
        label=_("Your password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, request: HttpRequest, user: User) -> None:
        super().__init__(request.POST if request.method == "POST" else None)
        self._request, self._user = request, user
        if not user.has_usable_password():
            del self.fields["password"]

    def clean_password(self) -> str:
        """Return the password if it is the user's; attempts are counted as those to log in are."""
        password: str = self.cleaned_data["password"]
        adapter = get_adapter(self._request)
        if adapter.authenticate(self._request, email=self._user.email, password=password) is None:
            raise forms.ValidationError(_("That is not your password."))
        return password


class TokenForm(forms.ModelForm):  # type: ignore[type-arg]
    """What a new token is for, and how many questions a day it may ask, if not as many as its owner."""

    questions_per_day = forms.IntegerField(
        required=False, min_value=1, max_value=MOST_QUESTIONS_PER_DAY
    )

    class Meta:
        model = ApiToken
        fields = ("name",)
