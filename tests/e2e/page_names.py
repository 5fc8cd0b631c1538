"""The pages that everybody must be able to use, by address; what is in braces is a person's own."""

from __future__ import annotations

SIGNED_OUT = {
    "log in": "/accounts/login/",
    "sign up": "/accounts/signup/",
    "reset": "/accounts/password/reset/",
}
SIGNED_IN = {
    "new question": "/",
    "chat": "/chats/{chat}/",
    "all chats": "/chats/",
    "passage": "/passages/{passage}/?message={message}&n=1",
    "sources": "/messages/{message}/sources/",
    "versions": "/messages/{message}/versions/",
    "shelf": "/shelf/",
    "collection": "/shelf/tea/",
    "try a search": "/shelf/tea/search/?q=green+tea",
    "add files": "/add/files/",
    "nothing there": "/nowhere/",
}
