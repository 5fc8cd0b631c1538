"""Routes of the pages; those that answer with a fragment are asked by our scripts."""

from __future__ import annotations

from django.urls import path

from mundap.chats import pages

app_name = "pages"
urlpatterns = [
    path("", pages.home, name="home"),
    path("shelf/", pages.shelf, name="shelf"),
    path("ask/", pages.ask, name="ask"),
    path("chats/", pages.chat_list, name="chat_list"),
    path("chats/<uuid:chat_id>/", pages.chat, name="chat"),
    path("chats/<uuid:chat_id>/ask/", pages.ask, name="chat_ask"),
    path("chats/<uuid:chat_id>/rename/", pages.rename, name="chat_rename"),
    path("chats/<uuid:chat_id>/delete/", pages.delete, name="chat_delete"),
    path("chats/<uuid:chat_id>/restore/", pages.restore, name="chat_restore"),
    path("messages/<uuid:message_id>/", pages.message, name="message"),
    path("messages/<uuid:message_id>/feedback/", pages.feedback, name="message_feedback"),
    path("passages/<uuid:passage_id>/", pages.passage, name="passage"),
]
