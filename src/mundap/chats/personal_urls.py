"""Routes of what one does with all of one's data."""

from __future__ import annotations

from django.urls import path

from mundap.chats import personal_pages

app_name = "personal"
urlpatterns = [
    path("export/", personal_pages.export, name="export"),
    path("delete/", personal_pages.delete, name="delete_account"),
    path("gone/", personal_pages.gone, name="gone"),
]
