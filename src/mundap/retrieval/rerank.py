"""The client of the optional rerank endpoint: `POST {base}/rerank` as Cohere, Jina, vLLM and llama.cpp have it.

It reads question and passage together, which sees more than two vectors do. Search has an order of its own and keeps it
where the endpoint is slow, fails, or answers something else than one score for each passage.
"""

from __future__ import annotations

import atexit
import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import httpx2
from django.conf import settings
from django.utils.translation import gettext as _

from mundap.errors import ModelError, ModelTimeout, ModelUnavailable

CANDIDATES = 30  # passages that are put in order
SECONDS = 1.5  # for the whole call: people wait for it before every answer
REST_SECONDS = 10.0  # that an endpoint which is away or slow is left alone
DOCUMENT_CHARACTERS = 4_000
REPLY_BYTES = 1_000_000

logger = logging.getLogger(__name__)


def has_reranker() -> bool:
    """Whether a rerank endpoint is configured."""
    return bool(settings.RERANK_BASE_URL and settings.RERANK_MODEL)


def find_scores(question: str, documents: Sequence[str]) -> list[float] | None:
    """Return how well each document fits the question, higher for better; None where the endpoint cannot tell."""
    address = settings.RERANK_BASE_URL
    if not has_reranker() or not documents or _resting_until.get(address, 0.0) > time.monotonic():
        return None
    try:
        return ask(question, documents)
    except ModelError as error:
        logger.warning("Searching without reranking: %s", error.code)
        if error.is_retryable:
            _resting_until[address] = time.monotonic() + REST_SECONDS
        return None


def ask(question: str, documents: Sequence[str]) -> list[float]:
    """Return the endpoint's score of each document, in their order. Raises ModelError."""
    body = {
        "model": settings.RERANK_MODEL,
        "query": question,
        "documents": [document[:DOCUMENT_CHARACTERS] for document in documents],
        "top_n": len(documents),
    }
    with _failures():
        reply = json.loads(_post(f"{settings.RERANK_BASE_URL}/rerank", body))
        return _scores(reply["results"], len(documents))


def _post(url: str, body: dict[str, Any]) -> bytes:
    """Return the reply's body; the time counts for all of it, also where it comes drop by drop."""
    ends_at = time.monotonic() + SECONDS
    key = settings.RERANK_API_KEY
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    received = b""
    # Each step has the whole time at most; a reply that goes on beyond it is ended here.
    timeout = httpx2.Timeout(SECONDS, connect=SECONDS / 3)
    with _client().stream("POST", url, json=body, headers=headers, timeout=timeout) as response:
        response.raise_for_status()
        for chunk in response.iter_bytes():
            received += chunk
            if time.monotonic() > ends_at:
                raise httpx2.ReadTimeout("the reply takes too long")
            if len(received) > REPLY_BYTES:
                raise ValueError("the reply is too large")
    return received


def _scores(results: Sequence[dict[str, Any]], count: int) -> list[float]:
    """Return the scores by index. Raises ValueError unless there is exactly one for each document."""
    found = {one["index"]: float(one["relevance_score"]) for one in results}
    if len(results) != count or found.keys() != set(range(count)):
        raise ValueError("not one score a document")
    if not all(math.isfinite(score) for score in found.values()):
        raise ValueError("a score is not a number")
    return [found[place] for place in range(count)]


@cache
def _client() -> httpx2.Client:
    client = httpx2.Client()
    atexit.register(client.close)
    return client


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except httpx2.TimeoutException as exc:
        raise ModelTimeout(_("The rerank endpoint did not answer in time.")) from exc
    except httpx2.HTTPStatusError as exc:
        message = _("The rerank endpoint refused with status %(status)s.") % {
            "status": exc.response.status_code
        }
        if exc.response.status_code in {429, 503}:
            raise ModelUnavailable(message) from exc
        raise ModelError(message) from exc
    except httpx2.HTTPError as exc:
        raise ModelUnavailable(_("The rerank endpoint cannot be reached.")) from exc
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise ModelError(_("The rerank endpoint sent something that is not a ranking.")) from exc


# An endpoint that is away is left alone for a while: otherwise every search would wait for it.
_resting_until: dict[str, float] = {}
