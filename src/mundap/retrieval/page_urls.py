"""Routes of the pages."""

from __future__ import annotations

from django.urls import path

from mundap.retrieval import pages

urlpatterns = [
    path("evaluations/", pages.evaluations, name="evaluations"),
]
