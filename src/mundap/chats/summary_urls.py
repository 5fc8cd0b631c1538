"""Routes of the pages of summaries."""

from __future__ import annotations

from django.urls import path

from mundap.chats import summary_pages

app_name = "summaries"
urlpatterns = [
    path("collections/<slug:slug>/summary/", summary_pages.summary, name="summary"),
]
