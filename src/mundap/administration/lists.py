"""What the lists of the administration share: they are short to count, and changes made in them are written down."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlencode

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.forms import (
    BaseForm,
    BooleanField,
    ChoiceField,
    DecimalField,
    Field,
    IntegerField,
    ModelChoiceField,
    ModelMultipleChoiceField,
)
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.functional import Promise, cached_property

from mundap.accounts import audit
from mundap.accounts.models import User

COUNTED = 5_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than COUNTED rows, however many there are: who looks for an older one searches or filters."""

    @cached_property
    def count(self) -> int:
        """The number of rows, COUNTED + 1 where there are more."""
        rows = cast("QuerySet[Any]", self.object_list)
        return rows.order_by()[: COUNTED + 1].count()


class Listed(admin.ModelAdmin):  # type: ignore[type-arg]
    """A list that stays quick with any number of rows, and writes into the audit log what is done here."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # each would be counted
    list_per_page = 50
    list_name: Promise  # what it is called in the menu and above it
    kind = ""  # of the actions in the audit log, and of what they are about
    linked_by: frozenset[str] = frozenset()  # what links from other pages ask for
    permissions: tuple[str, ...] = ("view", "add", "change", "delete")  # that mean something here

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Return whether an address may ask for it: what the page filters by, and no more.

        Django allows every column, and so to ask a list whether a text that it does not show has a word in it.
        """
        columns = [each[0] if isinstance(each, tuple) else each for each in self.list_filter]
        offered = {getattr(each, "parameter_name", each) for each in columns}
        return lookup in self.linked_by or lookup.partition("__")[0] in offered

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Show the list under its own name."""
        return super().changelist_view(request, {"title": self.list_name} | (extra_context or {}))

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show a row of the list under its name."""
        context = {"list_name": self.list_name} | (extra_context or {})
        return super().changeform_view(request, object_id, form_url, context)

    def beside(self, obj: Any) -> dict[str, Any]:
        """Return what the page of a row shows beside its form."""
        return {}

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> Any:
        """Show a row's page with what belongs beside it."""
        if obj is not None and request.method == "GET":
            context |= self.beside(obj)
        return super().render_change_form(request, context, add, change, form_url, obj)

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> None:  # type: ignore[override]
        """Write down that something was made."""
        self._record("added", obj, {})

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> None:  # type: ignore[override]
        """Write down what was changed."""
        self._record("changed", obj, getattr(request, "audit_changes", {}))

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:  # type: ignore[override]
        """Write down what is deleted."""
        for obj in queryset:
            self._record("deleted", obj, {})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Store it, and remember what has changed for `log_change`."""
        request.audit_changes = changes_of(form)  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Lead to the audit log of this object, which takes the place of Django's own history."""
        return to_audit_log(f"{self.kind}:{object_id}")

    def _record(self, what: str, obj: Model, details: dict[str, Any]) -> None:
        about = f"{self.kind}:{obj.pk}"
        audit.record(f"{self.kind}.{what}", whom=self.whom_of(obj), about=about, details=details)

    def whom_of(self, obj: Any) -> User | None:
        """Return whom a change of it concerns."""
        return obj if isinstance(obj, User) else getattr(obj, "owner", None)


class LookedAt(Listed):
    """A list of rows that are made elsewhere."""

    permissions: tuple[str, ...] = ("view",)

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Return False."""
        return False

    def has_change_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Return False."""
        return False

    def has_delete_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Return False."""
        return False


def to_audit_log(about: str) -> HttpResponse:
    """Return the way to the lines about a thing."""
    return redirect(f"{reverse('admin:accounts_auditentry_changelist')}?{urlencode({'q': about})}")


def changes_of(form: BaseForm) -> dict[str, Any]:
    """Return the names of the changed fields, with their old and new values where these are no words of a person."""
    return {
        name: _old_and_new(form.fields[name], form.initial.get(name), form.cleaned_data.get(name))
        for name in form.changed_data
        if name in form.fields
    }


def _old_and_new(field: Field, old: Any, new: Any) -> list[Any]:
    if isinstance(field, ModelMultipleChoiceField):
        return [sorted(str(_key(one)) for one in value or ()) for value in (old, new)]
    if isinstance(field, ModelChoiceField):
        return [str(_key(value)) if value else None for value in (old, new)]
    # Whom a thing belongs to is not kept here: it could not be taken out with their account.
    is_plain = isinstance(field, ChoiceField | BooleanField | IntegerField | DecimalField)
    return [value if value is None else _plain(value) for value in (old, new)] if is_plain else []


def _key(value: Any) -> Any:
    return value.pk if isinstance(value, Model) else value


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | str) else str(value)
