"""The client of the embedding endpoint; every failure of it becomes a ModelError here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import httpx2
import numpy as np
import openai
from django.conf import settings
from django.utils.translation import gettext as _
from openai import OpenAI

from mundap.errors import ModelError, ModelTimeout, ModelUnavailable

LOCAL_MODEL = "mundap-1"  # what the local server offers
# Korean and English meet in a part of the local model's vectors only: such a pair's cosine is at most this. Other
# models have one space for all languages.
LOCAL_CROSS_LANGUAGE_COSINE = 0.35**0.5
QUESTION_SECONDS = 5.0  # a search goes on without vectors rather than wait longer
PASSAGES_SECONDS = 120.0

Vector = list[float]


def has_embeddings() -> bool:
    """Whether an embedding endpoint is configured; without one, search is BM25 alone."""
    return bool(settings.EMBEDDING_BASE_URL)


def embedding_model() -> str:
    """Return the name of the model whose vectors are searched and filled in."""
    return settings.EMBEDDING_MODEL or LOCAL_MODEL


def is_local_model() -> bool:
    """Whether the model is the local server's, whose scale of cosines is known."""
    return embedding_model() == LOCAL_MODEL


def cross_language_cosine() -> float:
    """Return the highest cosine that the model gives to texts in two languages that mean the same."""
    return LOCAL_CROSS_LANGUAGE_COSINE if is_local_model() else 1.0


def embed(
    texts: Sequence[str], *, timeout_seconds: float = PASSAGES_SECONDS, max_retries: int = 1
) -> list[Vector]:
    """Return a vector of length one for each text, in order. Raises ModelError."""
    client = _client(settings.EMBEDDING_BASE_URL, settings.EMBEDDING_API_KEY)
    with _failures():
        reply = client.with_options(
            timeout=timeout_seconds, max_retries=max_retries
        ).embeddings.create(model=embedding_model(), input=list(texts))
        items = sorted(reply.data, key=lambda item: item.index)
        vectors = np.array([item.embedding for item in items], np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if len(vectors) != len(texts) or not np.isfinite(lengths).all() or not lengths.all():
            raise ValueError("not one vector a text")
        return list((vectors / lengths).tolist())


@lru_cache(maxsize=4)
def _client(base_url: str, api_key: str) -> OpenAI:
    return OpenAI(base_url=base_url, api_key=api_key or "none")


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
