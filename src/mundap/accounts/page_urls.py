"""Routes of the settings."""

from __future__ import annotations

from django.urls import path

from mundap.accounts import pages

app_name = "settings"
urlpatterns = [
    path("", pages.preferences, name="preferences"),
    path("security/", pages.security, name="security"),
    path("address/", pages.address, name="address"),
    path("address/<str:asked>/", pages.confirm_address, name="confirm_address"),
    path("sessions/end-others/", pages.end_other_sessions, name="end_other_sessions"),
    path("sessions/<int:session_id>/end/", pages.end_one_session, name="end_session"),
    path("tokens/", pages.tokens, name="tokens"),
    path("tokens/<uuid:token_id>/delete/", pages.delete_token, name="delete_token"),
    path("data/", pages.data, name="data"),
]
