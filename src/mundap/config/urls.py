"""All routes; one of the two modules that may look up the arrows."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny

# Whoever may reach the site may read how its API works; no account and no database are needed for that.
_PUBLIC = {"permission_classes": [AllowAny], "authentication_classes": []}

urlpatterns = [
    path("api/v1/", include("mundap.accounts.urls")),
    path("api/v1/", include("mundap.library.urls")),
    path("api/v1/", include("mundap.retrieval.urls")),
    path("api/v1/", include("mundap.chats.urls")),
    path("v1/", include("mundap.chats.openai_urls")),
    path("api/schema/", SpectacularAPIView.as_view(**_PUBLIC), name="schema"),
    path(
        "api/docs/",
        # The split view has its script at an address of its own: our policy forbids inline ones.
        SpectacularSwaggerSplitView.as_view(
            url_name="schema", template_name="api_docs.html", **_PUBLIC
        ),
        name="docs",
    ),
    path("_allauth/", include("allauth.headless.urls")),
    # allauth's own pages for these, which ours take the place of.
    path("accounts/sessions/", RedirectView.as_view(pattern_name="settings:security")),
    path("accounts/email/", RedirectView.as_view(pattern_name="settings:address")),
    path("accounts/", include("allauth.urls")),
    path("settings/", include("mundap.accounts.page_urls")),
    path("", include("mundap.administration.urls")),
    path("admin/", admin.site.urls),
    path("settings/usage/", include("mundap.chats.usage_urls")),
    path("settings/data/", include("mundap.chats.personal_urls")),
    path("", include("mundap.library.page_urls")),
    path("", include("mundap.chats.page_urls")),
    path("", include("mundap.chats.summary_urls")),
    path("", include("mundap.retrieval.page_urls")),
    path("", include("mundap.web.urls")),
]
handler400 = "mundap.web.errors.bad_request"
handler403 = "mundap.web.errors.forbidden"
handler404 = "mundap.web.errors.not_found"
handler500 = "mundap.web.errors.server_error"
