"""Routes of the pages; those that answer with a fragment are asked by our scripts."""

from __future__ import annotations

from django.urls import path

from mundap.chats import list_pages, pages, passage_pages, shared_pages, turn_pages

app_name = "pages"
urlpatterns = [
    path("", pages.home, name="home"),
    path("ask/shelf/", pages.shelf, name="shelf"),
    path("ask/", turn_pages.ask, name="ask"),
    path("chats/", list_pages.chat_list, name="chat_list"),
    path("chats/<uuid:chat_id>/", pages.chat, name="chat"),
    path("chats/<uuid:chat_id>/ask/", turn_pages.ask, name="chat_ask"),
    path("chats/<uuid:chat_id>/stream/", turn_pages.stream, name="chat_stream"),
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
    path("messages/<uuid:message_id>/versions/", pages.versions, name="message_versions"),
    path("messages/<uuid:message_id>/sources/", passage_pages.sources, name="message_sources"),
    path("messages/<uuid:message_id>/edit/", turn_pages.edit, name="message_edit"),
    path("messages/<uuid:message_id>/regenerate/", turn_pages.regenerate, name="regenerate"),
    path("messages/<uuid:message_id>/continue/", turn_pages.go_on, name="continue"),
    path("messages/<uuid:message_id>/select/", turn_pages.select, name="message_select"),
    path("messages/<uuid:message_id>/feedback/", turn_pages.rate, name="message_feedback"),
    path("turns/<uuid:turn_id>/stop/", turn_pages.stop, name="turn_stop"),
    path("passages/<uuid:passage_id>/", passage_pages.passage, name="passage"),
]
