"""Routes of the root that belong to no feature."""

from __future__ import annotations

from django.urls import path
from django.views.i18n import set_language

from mundap.web import health, metrics

urlpatterns = [
    path("language/", set_language, name="set_language"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
]
