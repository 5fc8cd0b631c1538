"""Routes below /api/v1/."""

from __future__ import annotations

from django.urls import path

from mundap.retrieval.api import SearchView

urlpatterns = [
    path("collections/<slug:slug>/search/", SearchView.as_view(), name="search"),
]
