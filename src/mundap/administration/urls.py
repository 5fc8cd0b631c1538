"""Routes of the administration's own pages; Django's admin has the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.http.response import HttpResponseBase
from django.urls import path

from mundap.administration import asked, usage

app_name = "administration"


def _for_staff(view: Callable[..., HttpResponseBase]) -> Any:
    return admin.site.admin_view(view)


urlpatterns = [
    path("admin/unanswered/", _for_staff(asked.unanswered), name="unanswered"),
    path("admin/feedback/", _for_staff(asked.feedback), name="feedback"),
    path("admin/usage/", _for_staff(usage.usage), name="usage"),
    path("shelf/<slug:slug>/unanswered/", asked.unanswered_in, name="unanswered_in"),
]
