"""Routes of both contracts, under /api/v1/."""

from __future__ import annotations

from django.urls import path

from mundap.chats import (
    api,
    citations_api,
    classic_api,
    sharing_api,
    summary_api,
    turns_api,
    usage_api,
)

urlpatterns = [
    path("chats/", turns_api.ChatsView.as_view(), name="chats"),
    path("chats/<uuid:chat_id>/", api.ChatView.as_view(), name="chat"),
    path("chats/<uuid:chat_id>/restore/", api.RestoreView.as_view(), name="chat-restore"),
    path("chats/<uuid:chat_id>/export/", sharing_api.ExportView.as_view(), name="chat-export"),
    path("chats/<uuid:chat_id>/share/", sharing_api.ShareView.as_view(), name="chat-share"),
    path("chats/<uuid:chat_id>/turns/", turns_api.TurnsView.as_view(), name="turns"),
    # Without a slash at its end, because useChat's reconnect asks for it so.
    path("chats/<uuid:chat_id>/stream", turns_api.ChatStreamView.as_view(), name="chat-stream"),
    path("turns/<uuid:turn_id>/stream/", turns_api.TurnStreamView.as_view(), name="turn-stream"),
    path("turns/<uuid:turn_id>/stop/", turns_api.StopView.as_view(), name="turn-stop"),
    path("messages/<uuid:message_id>/", api.MessageView.as_view(), name="message"),
    path(
        "messages/<uuid:message_id>/regenerate/",
        turns_api.RegenerateView.as_view(),
        name="regenerate",
    ),
    path("messages/<uuid:message_id>/continue/", turns_api.ContinueView.as_view(), name="continue"),
    path("messages/<uuid:message_id>/edit/", turns_api.EditView.as_view(), name="edit"),
    path("messages/<uuid:message_id>/feedback/", api.FeedbackView.as_view(), name="feedback"),
    path("messages/<uuid:message_id>/select/", api.SelectView.as_view(), name="select"),
    path(
        "messages/<uuid:message_id>/citations/",
        citations_api.CitationsView.as_view(),
        name="message-citations",
    ),
    path("collections/<slug:slug>/summary/", summary_api.SummaryView.as_view(), name="summary"),
    path("usage/", usage_api.UsageView.as_view(), name="usage"),
    path("chatbot/", classic_api.NewChatView.as_view(), name="classic-new"),
    path("chatbot/sessions/", classic_api.SessionsView.as_view(), name="classic-sessions"),
    path("chatbot/<str:chat_id>/", classic_api.ChatView.as_view(), name="classic-chat"),
]
