"""The chat model, over OpenAI's protocol; every failure of an endpoint becomes a ModelError here and nowhere else."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, cast
from weakref import WeakKeyDictionary

import httpx2
import openai
from django.conf import settings
from django.utils.translation import gettext as _
from openai import AsyncOpenAI, omit
from openai.types.chat import ChatCompletionMessageParam

from mundap.config import metrics, tracing
from mundap.errors import ModelError, ModelTimeout, ModelUnavailable
from mundap.llm.metering import Call, Purpose, forget_call, note_call


class ChatMessage(TypedDict):
    """One message as the protocol has it."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, as the endpoint counted them."""

    prompt_tokens: int
    completion_tokens: int


# A client belongs to the event loop that it was made on; the address is part of the key.
_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], AsyncOpenAI]] = (
    WeakKeyDictionary()
)


def has_model() -> bool:
    """Whether a chat model is configured; without one, answers are quotations."""
    return bool(settings.CHAT_BASE_URL and settings.CHAT_MODEL)


def _client() -> AsyncOpenAI:
    clients = _clients.setdefault(asyncio.get_running_loop(), {})
    key = (settings.CHAT_BASE_URL, settings.CHAT_API_KEY)
    if key not in clients:
        silence = settings.MODEL_SILENCE_SECONDS
        clients[key] = AsyncOpenAI(
            base_url=settings.CHAT_BASE_URL,
            api_key=settings.CHAT_API_KEY or "none",  # the SDK insists; local servers ignore it
            timeout=httpx2.Timeout(silence, connect=10),
            max_retries=1,
        )
        # An endpoint that redirects could have this machine ask its neighbours, and show what they say.
        clients[key]._client.follow_redirects = False  # noqa: SLF001 - a client of ours would not be closed with the SDK's
    return clients[key]


async def close() -> None:
    """Close the connections of the running event loop, which is about to end."""
    for each in _clients.pop(asyncio.get_running_loop(), {}).values():
        await each.close()


@contextmanager
def _endpoint_errors() -> Iterator[None]:
    """Turn the SDK's and the network's errors into ours; the endpoint's own words stay out of answers."""
    try:
        yield
    except (openai.APITimeoutError, httpx2.TimeoutException, TimeoutError) as exc:
        raise ModelTimeout(_("The language model was silent for too long. Try again.")) from exc
    except (openai.APIConnectionError, httpx2.ConnectError) as exc:
        raise ModelUnavailable(
            _("The language model cannot be reached. Try again, or tell the operator.")
        ) from exc
    except (openai.AuthenticationError, openai.PermissionDeniedError) as exc:
        raise ModelError(
            _("The language model refused our key. The operator must check OPENAI_API_KEY.")
        ) from exc
    except openai.RateLimitError as exc:
        raise ModelUnavailable(
            _("The language model is busy or its quota is used up. Try again later.")
        ) from exc
    except openai.NotFoundError as exc:
        raise ModelError(
            _("The endpoint does not know this model. The operator must check MUNDAP_CHAT_MODEL.")
        ) from exc
    except openai.InternalServerError as exc:
        raise ModelError(_("The language model failed. Try again.")) from exc
    except httpx2.HTTPError as exc:
        raise ModelError(_("The language model stopped in the middle. Try again.")) from exc
    except (openai.OpenAIError, ValueError, AttributeError, KeyError, TypeError) as exc:
        # The SDK trusts the endpoint's shape: rubbish comes out as any of these.
        raise ModelError(
            _("The language model sent something that cannot be understood. Try again.")
        ) from exc


# What the metrics call a failure, by its cause; the first that fits.
_RESULTS: Mapping[str, tuple[type, ...]] = {
    "timeout": (openai.APITimeoutError, httpx2.TimeoutException, TimeoutError),
    "unreachable": (openai.APIConnectionError, httpx2.ConnectError),
    "refused_key": (openai.AuthenticationError, openai.PermissionDeniedError),
    "busy": (openai.RateLimitError,),
    "unknown_model": (openai.NotFoundError,),
    "failed": (openai.InternalServerError,),
    "refused": (openai.APIStatusError,),
    "cut_off": (httpx2.HTTPError, type(None)),
}


def _result(error: ModelError) -> str:
    for name, kinds in _RESULTS.items():
        if isinstance(error.__cause__, kinds):
            return name
    return "not_understood"


@contextmanager
def _observed(purpose: Purpose) -> Iterator[tracing.Span]:
    """Count a call of the model and its time, and give its span."""
    model, begun, result = settings.CHAT_MODEL, time.perf_counter(), "ok"
    named = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": model,
        "mundap.purpose": purpose,
    }
    try:
        with tracing.span("model", named, kind="client", is_leaf=True) as span:
            yield span
    except ModelError as error:
        result = _result(error)
        raise
    except (asyncio.CancelledError, GeneratorExit):
        result = "cancelled"
        raise
    finally:
        metrics.model_calls.labels(model, purpose, result).inc()
        metrics.model_seconds.labels(model, purpose).observe(time.perf_counter() - begun)


def _report(call: Call, span: tracing.Span) -> None:
    """Tell metrics and traces the tokens of a call that has ended, where the endpoint counted them."""
    if call.counted is None:
        return
    given, made = call.counted
    metrics.model_tokens.labels(call.model, "prompt").inc(given)
    metrics.model_tokens.labels(call.model, "completion").inc(made)
    span.note({"gen_ai.usage.input_tokens": given, "gen_ai.usage.output_tokens": made})


def _headers(span: tracing.Span) -> dict[str, str]:
    """Return what lets the endpoint continue the trace, where the settings want that."""
    return span.header() if settings.TRACE_MODEL_CALLS else {}


@contextmanager
def _noted(purpose: Purpose, messages: Sequence[ChatMessage], span: tracing.Span) -> Iterator[Call]:
    """Note a call for whoever pays for it; not one that was refused or did not get through, which costs nothing."""
    call = note_call(purpose, settings.CHAT_MODEL, [each["content"] for each in messages])
    try:
        yield call
    except openai.APITimeoutError:
        raise
    except (openai.APIStatusError, openai.APIConnectionError, httpx2.ConnectError):
        forget_call(call)
        raise
    finally:
        _report(call, span)


async def stream_chat(
    messages: Sequence[ChatMessage], *, purpose: Purpose, max_tokens: int | None = None
) -> AsyncIterator[str | Usage]:
    """Yield the model's text as it comes, and a Usage if the endpoint counts; the last one holds.

    Raises ModelUnavailable, ModelTimeout or ModelError; what was yielded before stays valid. An answer that ends
    without a finish reason was cut off and raises, so that half an answer never passes for a whole one.
    """
    is_finished = False
    with _observed(purpose) as span:
        with _endpoint_errors(), _noted(purpose, messages, span) as call:
            # The SDK sends the request; its lines are read here, because building its models for each token costs
            # three times what the rest of a token does.
            request = _client().chat.completions.with_streaming_response.create(
                model=settings.CHAT_MODEL,
                messages=_as_parameters(messages),
                stream=True,
                stream_options={"include_usage": True},
                max_tokens=omit if max_tokens is None else max_tokens,
                extra_headers=_headers(span),
            )
            async with request as response:
                async for line in response.iter_lines():
                    chunk = _chunk(line)
                    for choice in chunk.get("choices") or ():
                        is_finished = is_finished or choice.get("finish_reason") is not None
                        delta = choice.get("delta") or {}
                        thought = delta.get("reasoning_content") or delta.get("reasoning") or ""
                        call.reply_bytes += _size_of(thought)  # it is paid for, too
                        if text := delta.get("content"):
                            call.reply_bytes += _size_of(text)
                            yield str(text)
                    # Once at the end, or with each chunk, of all so far.
                    if usage := chunk.get("usage"):
                        given, made = usage.get("prompt_tokens"), usage.get("completion_tokens")
                        if call.count(given, made):
                            yield Usage(given, made)
        if not is_finished:
            raise ModelError(_("The language model stopped in the middle. Try again."))


def _size_of(text: object) -> int:
    return len(str(text).encode("utf-8", "replace"))


def _chunk(line: str) -> dict[str, Any]:
    """Return the chunk in a line of the stream; an empty one where there is none. Raises ModelError."""
    if not line.startswith("data:") or line[5:].strip() == "[DONE]":
        return {}
    chunk: dict[str, Any] = json.loads(line[5:])
    if chunk.get("error"):
        raise ModelError(_("The language model stopped in the middle. Try again."))
    return chunk


async def complete(
    messages: Sequence[ChatMessage],
    *,
    purpose: Purpose,
    timeout_seconds: float,
    max_tokens: int | None = None,
) -> str:
    """Return the model's whole reply, stripped, or raise ModelTimeout in time. Raises as `stream_chat` does."""
    with (
        _observed(purpose) as span,
        _endpoint_errors(),
        _noted(purpose, messages, span) as call,
    ):
        # The SDK's own limit is for each step of each of its attempts; this one is for all of them.
        async with asyncio.timeout(timeout_seconds):
            reply = await _client().chat.completions.create(
                model=settings.CHAT_MODEL,
                messages=_as_parameters(messages),
                max_tokens=omit if max_tokens is None else max_tokens,
                extra_headers=_headers(span),
            )
        text = reply.choices[0].message.content or ""
        call.reply_bytes = _size_of(text)
        if reply.usage:
            call.count(reply.usage.prompt_tokens, reply.usage.completion_tokens)
        return text.strip()


def _as_parameters(messages: Sequence[ChatMessage]) -> list[ChatCompletionMessageParam]:
    # The SDK has a type a role; ours is the union of the three that we send.
    return cast("list[ChatCompletionMessageParam]", list(messages))
