"""Routes of the shelf's pages."""

from __future__ import annotations

from django.urls import path

from mundap.library import change_pages, pages

app_name = "library"
urlpatterns = [
    path("shelf/", pages.shelf, name="shelf"),
    path("shelf/<slug:slug>/", pages.collection, name="collection"),
    path("shelf/<slug:slug>/state/", pages.state, name="state"),
    path("shelf/<slug:slug>/settings/", change_pages.settings, name="settings"),
    path("shelf/<slug:slug>/delete/", change_pages.delete, name="delete"),
    path("shelf/<slug:slug>/refresh/", change_pages.refresh, name="refresh"),
    path("shelf/<slug:slug>/retry/", change_pages.retry, name="retry"),
    path("shelf/<slug:slug>/files/", change_pages.files, name="files"),
    path("runs/<uuid:run_id>/", pages.run, name="run"),
    path("runs/<uuid:run_id>/cancel/", change_pages.cancel, name="cancel"),
    path("documents/<uuid:document_id>/", pages.document, name="document"),
    path(
        "documents/<uuid:document_id>/delete/", change_pages.delete_document, name="delete_document"
    ),
    path("add/source/", change_pages.add_source, name="add_source"),
    path("add/files/", change_pages.add_files, name="add_files"),
]
