"""Routes of the pages; those that answer with a fragment are asked by our scripts."""

from __future__ import annotations

from django.urls import path

from mundap.chats import list_pages, pages, shared_pages

app_name = "pages"
urlpatterns = [
    path("", pages.home, name="home"),
    path("shelf/", pages.shelf, name="shelf"),
    path("ask/", pages.ask, name="ask"),
    path("chats/", list_pages.chat_list, name="chat_list"),
    path("chats/<uuid:chat_id>/", pages.chat, name="chat"),
    path("chats/<uuid:chat_id>/ask/", pages.ask, name="chat_ask"),
    path("chats/<uuid:chat_id>/rename/", list_pages.rename, name="chat_rename"),
    path("chats/<uuid:chat_id>/delete/", list_pages.delete, name="chat_delete"),
    path("chats/<uuid:chat_id>/restore/", list_pages.restore, name="chat_restore"),
    path("chats/<uuid:chat_id>/pin/", list_pages.pin, name="chat_pin"),
    path("chats/<uuid:chat_id>/manage/", list_pages.manage, name="chat_manage"),
    path("chats/<uuid:chat_id>/export/", list_pages.export, name="chat_export"),
    path("chats/<uuid:chat_id>/share/", shared_pages.share, name="chat_share"),
    path("chats/<uuid:chat_id>/unshare/", shared_pages.unshare, name="chat_unshare"),
    path("shared/<str:token>/", shared_pages.shared, name="shared"),
    path("messages/<uuid:message_id>/", pages.message, name="message"),
    path("messages/<uuid:message_id>/feedback/", pages.feedback, name="message_feedback"),
    path("passages/<uuid:passage_id>/", pages.passage, name="passage"),
]
