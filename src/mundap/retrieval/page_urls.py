"""Routes of the pages."""

from __future__ import annotations

from django.urls import path

from mundap.retrieval import pages, search_pages

urlpatterns = [
    path("evaluations/", pages.evaluations, name="evaluations"),
    path("shelf/<slug:slug>/search/", search_pages.try_search, name="try_search"),
]
