"""Routes of the root that belong to no feature."""

from __future__ import annotations

from django.urls import path
from django.views.generic import TemplateView

from mundap.accounts.pages import language
from mundap.web import health, metrics

urlpatterns = [
    path("language/", language, name="set_language"),
    path("help/", TemplateView.as_view(template_name="help.html"), name="help"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
]
