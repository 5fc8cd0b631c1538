"""The client of the embedding endpoints; every failure of one becomes a ModelError here and nowhere else.

One model is wanted (the settings). While its vectors are being filled in, a collection is answered by those of the
model before it, which may live at another address.
"""

from __future__ import annotations

import atexit
import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from threading import Lock

import httpx2
import numpy as np
import numpy.typing as npt
import openai
from django.conf import settings
from django.utils.translation import gettext as _
from openai import OpenAI

from mundap.config import metrics, tracing
from mundap.errors import ModelError, ModelTimeout, ModelUnavailable

LOCAL_MODEL = "mundap-1"  # what the local server offers
# Korean and English meet in a part of the local model's vectors only: such a pair's cosine is at most this. Other
# models have one space for all languages.
LOCAL_CROSS_LANGUAGE_COSINE = 0.35**0.5
QUESTION_SECONDS = 5.0  # a search goes on without vectors rather than wait longer
PASSAGES_SECONDS = 120.0
KEPT_QUESTIONS = 2_000  # vectors of 896 numbers: 7 MB

Vector = list[float]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model's vectors come from."""

    base_url: str
    api_key: str
    model: str


def has_embeddings() -> bool:
    """Whether an embedding endpoint is configured; without one, search is BM25 alone."""
    return bool(settings.EMBEDDING_BASE_URL)


def embedding_model() -> str:
    """Return the name of the model that is wanted: whose vectors are filled in."""
    return settings.EMBEDDING_MODEL or LOCAL_MODEL


def endpoint_of(model: str) -> Endpoint:
    """Return where the model is asked: the wanted one's address, unless another is set for the model before it."""
    previous = settings.EMBEDDING_PREVIOUS_MODEL or LOCAL_MODEL
    if (
        model != embedding_model()
        and model == previous
        and (address := settings.EMBEDDING_PREVIOUS_BASE_URL)
    ):
        return Endpoint(address, settings.EMBEDDING_PREVIOUS_API_KEY, model)
    return Endpoint(settings.EMBEDDING_BASE_URL, settings.EMBEDDING_API_KEY, model)


def is_local_model(model: str = "") -> bool:
    """Whether the model is the local server's, whose scale of cosines is known; by default the wanted one."""
    return (model or embedding_model()) == LOCAL_MODEL


def cross_language_cosine(model: str = "") -> float:
    """Return the highest cosine that the model gives to texts in two languages that mean the same."""
    return LOCAL_CROSS_LANGUAGE_COSINE if is_local_model(model) else 1.0


def embed_questions(texts: Sequence[str], *, model: str) -> list[Vector]:
    """Return the vectors of what is searched for, from memory where it was asked before. Raises ModelError."""
    endpoint = endpoint_of(model)
    keys = [_digest(endpoint, text) for text in texts]
    known = _questions.get(keys)
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
    if missing:
        vectors = embed(
            list(missing.values()), model=model, timeout_seconds=QUESTION_SECONDS, max_retries=0
        )
        fresh = dict(zip(missing, vectors, strict=True))
        _questions.keep(fresh)
        known |= fresh
    return [known[key] for key in keys]


def embed(
    texts: Sequence[str],
    *,
    model: str = "",
    timeout_seconds: float = PASSAGES_SECONDS,
    max_retries: int = 1,
) -> list[Vector]:
    """Return a vector of length one for each text, in order, by the wanted model or by `model`. Raises ModelError."""
    endpoint = endpoint_of(model or embedding_model())
    client = _client(endpoint.base_url, endpoint.api_key)
    with _observed(endpoint.model, len(texts)) as span, _failures():
        reply = client.with_options(
            timeout=timeout_seconds, max_retries=max_retries
        ).embeddings.create(
            model=endpoint.model,
            input=list(texts),
            extra_headers=span.header() if settings.TRACE_MODEL_CALLS else {},
        )
        items = sorted(reply.data, key=lambda item: item.index)
        vectors = np.array([item.embedding for item in items], np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if len(vectors) != len(texts) or not np.isfinite(lengths).all() or not lengths.all():
            raise ValueError("not one vector a text")
        return list((vectors / lengths).tolist())


class _Kept:
    """The vectors of questions, by digest, the ones used last; nothing of a question's text is kept.

    In the process's memory and not in Redis: docs/decisions/models.md has the measurement.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._rows: OrderedDict[bytes, npt.NDArray[np.float32]] = OrderedDict()
        self._lock = Lock()  # searches run in many threads

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Vector]:
        """Return those that are kept."""
        with self._lock:
            rows = {key: self._rows[key] for key in keys if key in self._rows}
            for key in rows:
                self._rows.move_to_end(key)
        return {key: row.tolist() for key, row in rows.items()}

    def keep(self, vectors: Mapping[bytes, Vector]) -> None:
        """Keep these, and let go of those that were not used for longest."""
        rows = {key: np.array(vector, np.float32) for key, vector in vectors.items()}
        with self._lock:
            self._rows |= rows
            while len(self._rows) > self._size:
                self._rows.popitem(last=False)


_questions = _Kept(KEPT_QUESTIONS)


def _digest(endpoint: Endpoint, text: str) -> bytes:
    name = f"{endpoint.base_url}\0{endpoint.model}\0{text}"
    return hashlib.blake2b(name.encode(), digest_size=16).digest()


@cache
def _client(base_url: str, api_key: str) -> OpenAI:
    client = OpenAI(base_url=base_url, api_key=api_key or "none")
    atexit.register(client.close)
    # An endpoint that redirects could have this machine ask its neighbours.
    client._client.follow_redirects = False  # noqa: SLF001 - a client of ours would not be closed with the SDK's
    return client


@contextmanager
def _observed(model: str, texts: int) -> Iterator[tracing.Span]:
    """Count a call and its time, and give its span."""
    begun, result = time.perf_counter(), "ok"
    named: dict[str, tracing.Value] = {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.request.model": model,
        "mundap.texts": texts,
    }
    try:
        with tracing.span("embedding", named, kind="client") as span:
            yield span
        metrics.embedding_texts.labels(model).inc(texts)
    except ModelTimeout:
        result = "timeout"
        raise
    except ModelUnavailable:
        result = "unavailable"
        raise
    except ModelError:
        result = "failed"
        raise
    finally:
        metrics.embedding_calls.labels(model, result).inc()
        metrics.embedding_seconds.labels(model).observe(time.perf_counter() - begun)


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except openai.APITimeoutError as exc:
        raise ModelTimeout(_("The embedding endpoint did not answer in time.")) from exc
    except openai.APIConnectionError as exc:
        raise ModelUnavailable(_("The embedding endpoint cannot be reached.")) from exc
    except openai.APIStatusError as exc:
        message = _("The embedding endpoint refused with status %(status)s.") % {
            "status": exc.status_code
        }
        if exc.status_code in {429, 503}:
            raise ModelUnavailable(message) from exc
        raise ModelError(message) from exc
    except (openai.OpenAIError, httpx2.HTTPError, TypeError, ValueError, AttributeError) as exc:
        # the SDK builds its objects without checking: rubbish shows itself on first use
        raise ModelError(
            _("The embedding endpoint sent something that is not a list of vectors.")
        ) from exc
