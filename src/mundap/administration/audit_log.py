"""The audit log to look at, to filter and to take away as a table."""

from __future__ import annotations

import csv
import io
import ipaddress
import json
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.translation import gettext_lazy

from mundap.accounts import audit
from mundap.accounts.models import AuditEntry
from mundap.accounts.selectors import find_user_by_email
from mundap.administration.lists import LookedAt

EXPORTED = 50_000
_COLUMNS = ("at", "via", "actor", "action", "whom", "about", "details", "address", "request_id")

_PAGES = {
    "user": "accounts_user",
    "group": "auth_group",
    "collection": "library_collection",
    "run": "library_run",
    "chat": "chats_chat",
}


class ActionFilter(admin.SimpleListFilter):
    """What was done, by the names that are known."""

    title = gettext_lazy("what")
    parameter_name = "action"
    template = "administration/closed_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return all actions."""
        return list(audit.ACTIONS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the lines of the chosen one."""
        return queryset.filter(action=self.value()) if self.value() else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(LookedAt):
    """Who did what, to whom, when and from where; nothing here can be changed."""

    list_name = gettext_lazy("Audit log")
    list_display = ["when", "what", "who", "whose", "thing", "origin"]
    list_display_links = None
    list_filter = [("at", admin.DateFieldListFilter), ActionFilter]
    list_select_related = ["actor", "whom"]
    search_fields = ["about"]
    search_help_text = gettext_lazy(
        "An e-mail address, a thing as in chat:01a2…, a network address or the id of a request"
    )
    sortable_by = ()
    ordering = ["-id"]
    change_list_template = "administration/audit_log.html"

    @admin.display(description=gettext_lazy("when"))
    def when(self, entry: AuditEntry) -> str:
        """The moment, in the reader's time zone."""
        return date_format(timezone.localtime(entry.at), "SHORT_DATETIME_FORMAT")

    @admin.display(description=gettext_lazy("what"))
    def what(self, entry: AuditEntry) -> Any:
        """What was done, in words, and the details."""
        details = "; ".join(_line(name, value) for name, value in entry.details.items())
        name = audit.ACTIONS.get(entry.action, entry.action)
        return format_html("{}<br><small>{}</small>", name, details)

    @admin.display(description=gettext_lazy("who"))
    def who(self, entry: AuditEntry) -> Any:
        """Who did it; nobody any more, where the account is deleted."""
        return entry.actor or (
            gettext_lazy("nobody known") if entry.via == "person" else entry.get_via_display()
        )

    @admin.display(description=gettext_lazy("whose"), empty_value="")
    def whose(self, entry: AuditEntry) -> Any:
        """Whom it concerns."""
        return entry.whom if entry.whom != entry.actor else None

    @admin.display(description=gettext_lazy("about"), empty_value="")
    def thing(self, entry: AuditEntry) -> Any:
        """What it is about, as a link to it where there is a page."""
        kind, _colon, pk = entry.about.partition(":")
        if kind not in _PAGES:
            return entry.about
        url = reverse(f"admin:{_PAGES[kind]}_change", args=[pk])
        return format_html('<a href="{}" title="{}">{} …{}</a>', url, entry.about, kind, pk[-6:])

    @admin.display(description=gettext_lazy("from"), empty_value="")
    def origin(self, entry: AuditEntry) -> Any:
        """The network address, and the request in the logs."""
        return format_html("{}<br><small>{}</small>", entry.address or "", entry.request_id)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Return the lines by or about somebody, about a thing, from an address or of a request."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if "@" in term:
            user = find_user_by_email(term)
            found = Q(actor=user) | Q(whom=user) if user else Q(pk=None)
        elif _is_address(term):
            found = Q(address=term)
        else:
            found = Q(about=term) | Q(request_id=term)
        return queryset.filter(found), False

    def get_urls(self) -> list[Any]:
        """Return also the route of the table."""
        view = self.admin_site.admin_view(self.export)
        return [path("export/", view, name="export_audit_log"), *super().get_urls()]

    def export(self, request: HttpRequest) -> HttpResponse:
        """Send the lines that the list shows, newest first, as CSV; that is written down too."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = self.get_changelist_instance(request).get_queryset(request)[:EXPORTED]
        audit.record("log.exported", details={"filter": sorted(request.GET)})
        response = HttpResponse(_as_csv(rows), content_type="text/csv; charset=utf-8")
        name = f"mundap-audit-{timezone.now():%Y%m%d-%H%M}.csv"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        return response


def _as_csv(rows: QuerySet[AuditEntry]) -> str:
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(_COLUMNS)
    for row in rows.iterator(chunk_size=1000):
        writer.writerow([_cell(getattr(row, column)) for column in _COLUMNS])
    return table.getvalue()


def _cell(value: Any) -> str:
    """Return the value as text that a spreadsheet takes for text, whatever it begins with."""
    if isinstance(value, datetime):
        return value.isoformat()
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value or "")
    return f"'{text}" if text[:1] in "=+-@\t\r" and text else text


def _line(name: str, value: Any) -> str:
    if isinstance(value, list):
        value = " → ".join("–" if one is None else str(one) for one in value)
    return f"{name}: {value}" if value not in ("", None) else name


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
