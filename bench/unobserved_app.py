"""Our application without what counts, logs and traces its requests, for `run_observed.py`."""

from __future__ import annotations

from django.core.asgi import get_asgi_application

_django = get_asgi_application()

from mundap.chats.cached_read import with_cached_read  # noqa: E402
from mundap.chats.lifespan import with_lifespan  # noqa: E402
from mundap.config.body_limit import with_body_limit  # noqa: E402

application = with_lifespan(with_cached_read(with_body_limit(_django)))
