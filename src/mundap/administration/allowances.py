"""What single users, the members of groups, and tokens may use: other than what the settings give everybody."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mundap.accounts.models import Allowance, User
from mundap.administration.fields import UserByEmailField
from mundap.administration.lists import Listed


class AllowanceForm(forms.ModelForm):  # type: ignore[type-arg]
    """An allowance of a user or a group; a token's is made with it, by its owner."""

    user = UserByEmailField(
        label=gettext_lazy("User"), required=False, help_text=gettext_lazy("Their e-mail address")
    )

    class Meta:
        model = Allowance
        fields = ("user", "group", "questions_per_day", "tokens_per_month", "spending_per_month")

    def clean(self) -> dict[str, Any]:
        """Return the form's values. Raises ValidationError where it is nobody's, or that of two.

        The constraint says so too, but a form leaves those out that look at what it does not have: the token.
        """
        given: dict[str, Any] = super().clean() or {}
        owners = [given.get("user"), given.get("group"), self.instance.token_id]
        if not self.errors and sum(owner is not None for owner in owners) != 1:
            raise ValidationError(_("Choose either a user, a group or a token."))
        return given


@admin.register(Allowance)
class AllowanceAdmin(Listed):
    """Limits of their own."""

    list_name = gettext_lazy("Limits")
    kind = "limits"
    form = AllowanceForm
    readonly_fields = ["token"]
    fields = [
        "user",
        "group",
        "token",
        "questions_per_day",
        "tokens_per_month",
        "spending_per_month",
    ]
    list_display = ["whose", "questions_per_day", "tokens_per_month", "spending_per_month"]
    list_select_related = ["user", "group", "token__user"]
    sortable_by = ()
    ordering = ["-id"]
    search_fields = ["user__email", "group__name"]
    empty_value_display = "–"

    @admin.display(description=gettext_lazy("of"))
    def whose(self, allowance: Allowance) -> str:
        """The user, the group, or the token with its owner."""
        if allowance.token:
            return f"{allowance.token.name} ({allowance.token.user})"
        return str(allowance.user or allowance.group)

    def whom_of(self, obj: Any) -> User | None:
        """Return whose it is; a group's is nobody's."""
        owner: User | None = obj.user or (obj.token and obj.token.user)
        return owner
