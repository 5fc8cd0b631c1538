"""Routes of OpenAI's protocol, under /v1/; its clients ask without a slash at the end."""

from __future__ import annotations

from django.urls import path

from mundap.chats import openai_api

urlpatterns = [
    path("models", openai_api.ModelsView.as_view(), name="openai-models"),
    path("models/<str:model>", openai_api.ModelView.as_view(), name="openai-model"),
    path("chat/completions", openai_api.CompletionsView.as_view(), name="openai-completions"),
]
