"""Pages of long lists, cut behind the last row that was shown, so that a list may change while it is paged through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from mundap.errors import InvalidInput

Row = TypeVar("Row", bound=Model)

DEFAULT_ROWS = 50
MAX_ROWS = 200
_LARGEST = 2**63 - 1
PARAMETERS = [
    OpenApiParameter("cursor", str, description="As in `next`."),
    OpenApiParameter(
        "limit", int, description=f"At most {MAX_ROWS}; {DEFAULT_ROWS} when not given."
    ),
]


@dataclass(frozen=True, slots=True)
class Part(Generic[Row]):
    """Some rows, and the cursor of those that come next; empty at the end."""

    rows: list[Row]
    cursor: str


def cut(rows: QuerySet[Row], field: str, *, after: str, limit: int = DEFAULT_ROWS) -> Part[Row]:
    """Return the rows behind `after`, a value of `field`, which orders them and is unique. Raises InvalidInput."""
    is_number = rows.model._meta.get_field(field).get_internal_type() != "CharField"  # noqa: SLF001
    if after:
        rows = rows.filter(**{f"{field}__gt": _number(after) if is_number else after})
    found = list(rows.order_by(field)[: limit + 1])
    cursor = str(getattr(found[limit - 1], field)) if len(found) > limit else ""
    return Part(found[:limit], cursor)


def cut_as_asked(rows: QuerySet[Row], field: str, request: Request) -> tuple[list[Row], str | None]:
    """Return the page that the request's `cursor` and `limit` mean, and the address of the next one."""
    given = request.query_params.get("limit", "")
    limit = (
        min(max(int(given), 1), MAX_ROWS) if given.isdecimal() and len(given) < 9 else DEFAULT_ROWS
    )
    part = cut(rows, field, after=request.query_params.get("cursor", ""), limit=limit)
    here = request.build_absolute_uri()
    return part.rows, replace_query_param(here, "cursor", part.cursor) if part.cursor else None


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 19 or int(text) > _LARGEST:
        raise InvalidInput(_("This is not a page of the list."), fields={"cursor": _("Not valid.")})
    return int(text)
