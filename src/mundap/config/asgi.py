"""The ASGI application that a server runs."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mundap.config.settings")

_django = get_asgi_application()  # before anything else of ours: it sets Django up

from mundap.chats.lifespan import with_lifespan  # noqa: E402

application = with_lifespan(_django)
