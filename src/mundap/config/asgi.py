"""The ASGI application that a server runs."""

from __future__ import annotations

import os
import warnings

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mundap.config.settings")

# WhiteNoise hands static files over as sync iterators, which Django takes in whole: they are small.
warnings.filterwarnings(
    "ignore", message="StreamingHttpResponse must consume synchronous iterators"
)

_django = get_asgi_application()  # before anything else of ours: it sets Django up

from mundap.chats.cached_read import with_cached_read  # noqa: E402
from mundap.chats.lifespan import with_lifespan  # noqa: E402
from mundap.config.body_limit import with_body_limit  # noqa: E402
from mundap.config.observed import with_observation  # noqa: E402

application = with_lifespan(with_observation(with_cached_read(with_body_limit(_django))))
