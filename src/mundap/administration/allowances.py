"""Allowances: what a user or each member of a group may use, where that is not what everybody may."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from mundap.accounts.models import Allowance
from mundap.administration.lists import Listed


@admin.register(Allowance)
class AllowanceAdmin(Listed):
    """Allowances by whom they are for."""

    kind = "allowance"
    list_display = ["__str__", "questions_per_day", "tokens_per_month", "spending_per_month"]
    list_select_related = ["user", "group"]
    ordering = ["-id"]
    search_fields = ["user__email", "group__name"]
    search_help_text = gettext_lazy("Part of an e-mail address, or of a group's name")
    autocomplete_fields = ["user", "group"]
    fields = ["user", "group", "questions_per_day", "tokens_per_month", "spending_per_month"]
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return those of users and groups: a token's is made with it."""
        allowances: QuerySet[Any] = super().get_queryset(request)
        return allowances.filter(token=None)
