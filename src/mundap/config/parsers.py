"""Strict reading of JSON bodies: what the database cannot store is refused before anything else sees it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework.parsers import JSONParser

from mundap.errors import InvalidInput, TooLarge


def read_json(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`; an empty body is an empty object.

    Raises InvalidInput for anything else than a UTF-8 object, and for text with a NUL byte or half a surrogate pair,
    at any depth.
    """
    if not body.strip():
        return {}
    try:
        data = json.loads(
            body.decode("utf-8"), parse_float=_finite, parse_constant=_refuse_constant
        )
    except UnicodeDecodeError as exc:
        raise InvalidInput(_("The request is not UTF-8 text.")) from exc
    except (ValueError, RecursionError) as exc:
        raise InvalidInput(_("The request is not valid JSON.")) from exc
    if not isinstance(data, dict):
        raise InvalidInput(_("The request must be a JSON object, as in {…}."))
    # Only an escape can smuggle them in: as raw bytes neither is valid JSON in UTF-8.
    if b"\\u" in body and not _is_storable(data):
        raise InvalidInput(_("The text contains a NUL character or half of a surrogate pair."))
    return data


def _finite(text: str) -> float:
    """Return the number; one that is too large for a float would be written back as Infinity, which is not JSON."""
    number = float(text)
    if math.isinf(number):
        raise ValueError(text)
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _is_storable(data: object) -> bool:
    """Tell whether no string in `data`, keys included, has a NUL or a lone surrogate. Deep data cost no stack."""
    todo = [data]
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in value):
                return False
        elif isinstance(value, dict):
            todo += value.keys()
            todo += value.values()
        elif isinstance(value, list):
            todo += value
    return True


class StrictJSONParser(JSONParser):
    """REST framework's JSON parser over `read_json`, with the body's size bounded."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the object. Raises TooLarge over DATA_UPLOAD_MAX_MEMORY_SIZE, which Django skips for streams."""
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise TooLarge(_("The request is larger than %(limit)d bytes.") % {"limit": limit})
        return read_json(body)
