"""Pages, scripts and styles sent compressed. Streams and the API's JSON are not: their time is the processor's."""

from __future__ import annotations

import gzip
from functools import lru_cache
from typing import Any

from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import patch_vary_headers
from whitenoise.middleware import WhiteNoiseMiddleware

_TEXT = ("text/", "application/javascript", "application/json", "image/svg+xml")


class CompressedPages(GZipMiddleware):
    """Compresses pages of HTML, with Django's random bytes against guessing by their length."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Return the response, compressed if it is a page."""
        if not response.headers.get("Content-Type", "").startswith("text/html"):
            return response
        return super().process_response(request, response)


class CompressedFiles(WhiteNoiseMiddleware):
    """Serves static files from where they lie, each compressed once."""

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponseBase:
        """Return the file, or its compressed text where the browser takes that."""
        plain: FileResponse = WhiteNoiseMiddleware.serve(static_file, request)
        is_text = plain.headers.get("Content-Type", "").startswith(_TEXT)
        file = plain.file_to_stream
        if not is_text or file is None or plain.status_code != 200:
            return plain
        patch_vary_headers(plain, ["Accept-Encoding"])
        if "gzip" not in request.headers.get("Accept-Encoding", ""):
            return plain
        file.close()
        response = HttpResponse(
            _compressed(file.name, plain.headers["ETag"]), headers=plain.headers
        )
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Content-Length"] = str(len(response.content))
        return response


@lru_cache(maxsize=512)
def _compressed(path: str, _etag: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - as WhiteNoise has it
        return gzip.compress(file.read(), mtime=0)
