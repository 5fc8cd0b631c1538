"""Routes below /api/v1/."""

from __future__ import annotations

from django.urls import path

from mundap.accounts import api

urlpatterns = [
    path("tokens/", api.TokensView.as_view(), name="tokens"),
    path("tokens/<uuid:token_id>/", api.TokenView.as_view(), name="token"),
]
