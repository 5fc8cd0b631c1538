"""The route of the page with what is left."""

from __future__ import annotations

from django.urls import path

from mundap.chats import usage_pages

app_name = "usage"
urlpatterns = [path("", usage_pages.usage, name="page")]
