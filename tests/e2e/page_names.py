"""The pages that everybody must be able to use, by address; what is in braces is a person's own."""

from __future__ import annotations

SIGNED_OUT = {
    "log in": "/accounts/login/",
    "sign up": "/accounts/signup/",
    "reset": "/accounts/password/reset/",
    "reset asked for": "/accounts/password/reset/done/",
    "reset too late": "/accounts/password/reset/key/1-gone/",
    "shared": "{shared}",
}
SIGNED_IN = {
    "new question": "/",
    "chat": "/chats/{chat}/",
    "all chats": "/chats/",
    "chat to manage": "/chats/{chat}/manage/",
    "passage": "/passages/{passage}/?message={message}&n=1",
    "sources": "/messages/{message}/sources/",
    "versions": "/messages/{message}/versions/",
    "outline": "/collections/tea/summary/",
    "shelf": "/shelf/",
    "collection": "/shelf/tea/",
    "collection to change": "/shelf/tea/settings/",
    "collection to delete": "/shelf/tea/delete/",
    "unanswered questions": "/shelf/tea/unanswered/",
    "run": "{run}",
    "document": "{document}",
    "document as text": "{document}?view=text",
    "try a search": "/shelf/tea/search/?q=green+tea",
    "add files": "/add/files/",
    "add a source": "/add/source/",
    "evaluations": "/evaluations/",
    "looks": "/settings/",
    "security": "/settings/security/",
    "address": "/settings/address/",
    "password": "/accounts/password/change/",
    "second step": "/accounts/2fa/",
    "log-ins elsewhere": "/accounts/3rdparty/",
    "tokens": "/settings/tokens/",
    "usage": "/settings/usage/",
    "my data": "/settings/data/",
    "keys": "/help/",
    "log out": "/accounts/logout/",
    "nothing there": "/nowhere/",
}
ADMINISTRATION = {
    "overview": "/admin/",
    "a new group": "/admin/auth/group/add/",
    "a chat": "/admin/chats/chat/{chat}/change/",
    "audit log": "/admin/accounts/auditentry/",
    "unanswered": "/admin/unanswered/",
    "usage of all": "/admin/usage/",
}
