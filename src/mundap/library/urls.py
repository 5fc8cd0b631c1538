"""Routes below /api/v1/."""

from __future__ import annotations

from django.urls import path

from mundap.library import collections_api, documents_api, runs_api

urlpatterns = [
    path("collections/", collections_api.CollectionsView.as_view(), name="collections"),
    path("collections/<slug:slug>/", collections_api.CollectionView.as_view(), name="collection"),
    path("collections/<slug:slug>/refresh/", runs_api.RefreshView.as_view(), name="refresh"),
    path("collections/<slug:slug>/retry/", runs_api.RetryView.as_view(), name="retry"),
    path("collections/<slug:slug>/runs/", runs_api.RunsView.as_view(), name="runs"),
    path("runs/<uuid:run_id>/", runs_api.RunView.as_view(), name="run"),
    path("runs/<uuid:run_id>/cancel/", runs_api.CancelView.as_view(), name="cancel_run"),
    path(
        "collections/<slug:slug>/documents/",
        documents_api.DocumentsView.as_view(),
        name="documents",
    ),
    path("collections/<slug:slug>/files/", documents_api.FilesView.as_view(), name="files"),
    path("documents/<uuid:document_id>/", documents_api.DocumentView.as_view(), name="document"),
    path("passages/<uuid:passage_id>/", documents_api.PassageView.as_view(), name="passage"),
]
