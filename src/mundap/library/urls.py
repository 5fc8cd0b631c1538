"""Routes below /api/v1/."""

from __future__ import annotations

from django.urls import path

from mundap.library import api

urlpatterns = [
    path("collections/", api.CollectionsView.as_view(), name="collections"),
    path("collections/<slug:slug>/", api.CollectionView.as_view(), name="collection"),
    path("passages/<uuid:passage_id>/", api.PassageView.as_view(), name="passage"),
]
