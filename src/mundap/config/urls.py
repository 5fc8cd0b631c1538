"""All routes; one of the two modules that may look up the arrows."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.permissions import AllowAny

urlpatterns = [
    path("api/v1/", include("mundap.accounts.urls")),
    path("api/v1/", include("mundap.library.urls")),
    path("api/v1/", include("mundap.chats.urls")),
    path("api/schema/", SpectacularAPIView.as_view(permission_classes=[AllowAny]), name="schema"),
    path(
        "api/docs/",
        SpectacularSwaggerView.as_view(url_name="schema", permission_classes=[AllowAny]),
        name="docs",
    ),
    path("_allauth/", include("allauth.headless.urls")),
    path("accounts/", include("allauth.account.urls")),
    path("admin/", admin.site.urls),
    path("", include("mundap.chats.page_urls")),
    path("", include("mundap.web.urls")),
]
