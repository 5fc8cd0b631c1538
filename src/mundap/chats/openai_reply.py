"""An answer as OpenAI's protocol has it: one chat completion, or its chunks as server-sent events.

The annotations' indices count characters of the content that the client has, streamed or not: each is where a marker
`[n]` stands in it, and leads to the cited passage. Source: the API reference's "Chat completion object" and "Chat
completion chunk object".
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from mundap.answers.markup import MARKER, masked_code
from mundap.chats.models import State
from mundap.chats.selectors import TurnView
from mundap.chats.shapes import citation_json, dump, source_title
from mundap.chats.streaming import DONE, KEEP_ALIVE
from mundap.config.exceptions import ErrorReply
from mundap.library.web_addresses import web_address


@dataclass(frozen=True, slots=True)
class Reply:
    """What all parts of a reply share. `passage_url` gives the address of a passage that is published nowhere."""

    id: str
    model: str
    passage_url: Callable[[str], str]
    created: int = field(default_factory=lambda: int(time.time()))

    def completion(self, view: TurnView) -> dict[str, Any]:
        """Return the whole answer, from its final state."""
        message = {
            "role": "assistant",
            "content": view.text,
            "refusal": None,
            "annotations": self._annotations(view.text, view.citations),
        }
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": _finish_reason(view),
        }
        head = self._head("chat.completion")
        return {**head, "choices": [choice], "usage": _usage(view), **_ours(view)}

    async def chunks(
        self, changes: AsyncGenerator[TurnView | None, None], *, has_usage: bool
    ) -> AsyncGenerator[bytes, None]:
        """Yield the answer's events as it changes. One that fails ends with an `error`, and without `[DONE]`."""
        no_usage = {"usage": None} if has_usage else {}
        sent: str | None = None
        async with aclosing(changes):
            async for view in changes:
                if view is None:
                    yield KEEP_ALIVE
                    continue
                if sent is None:
                    sent = ""
                    yield self._chunk({"role": "assistant", "content": ""}, **no_usage)
                if len(view.text) > len(sent) and view.text.startswith(sent):
                    yield self._chunk({"content": view.text[len(sent) :]}, **no_usage)
                    sent = view.text
                if view.is_final:
                    yield self._end(view, sent, has_usage=has_usage)

    def _end(self, view: TurnView, content: str, *, has_usage: bool) -> bytes:
        if error := error_of(view):
            return _event(error.openai_body)
        delta = {"annotations": self._annotations(content, view.citations)}
        no_usage = {"usage": None} if has_usage else {}
        end = self._chunk(delta, _finish_reason(view), **no_usage, **_ours(view))
        if has_usage:
            head = self._head("chat.completion.chunk")
            end += _event({**head, "choices": [], "usage": _usage(view)})
        return end + DONE

    def _chunk(
        self, delta: Mapping[str, Any], finish_reason: str | None = None, **more: Any
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _event({**self._head("chat.completion.chunk"), "choices": [choice], **more})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _annotations(
        self, content: str, citations: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """Return one for each marker in the content, in order."""
        cited = {str(each["number"]): each for each in citations}
        return [
            {
                "type": "url_citation",
                "url_citation": {
                    "start_index": match.start(),
                    "end_index": match.end(),
                    "title": source_title(cited[match.group(1)]),
                    "url": self._url(cited[match.group(1)]),
                },
            }
            for match in MARKER.finditer(masked_code(content))
            if match.group(1) in cited
        ]

    def _url(self, citation: Mapping[str, Any]) -> str:
        return web_address(citation["url"]) or self.passage_url(citation["passage"])


def error_of(view: TurnView) -> ErrorReply | None:
    """Return why a final answer is none. One that was only too long is an answer, cut off."""
    if view.status is State.COMPLETE or _is_cut_off(view) or not view.error:
        return None
    return ErrorReply(int(view.error["status"]), view.error["code"], view.error["message"])


def _is_cut_off(view: TurnView) -> bool:
    return view.status is State.FAILED and len(view.text) >= settings.ANSWER_MAX_CHARACTERS


def _finish_reason(view: TurnView) -> str:
    return "length" if _is_cut_off(view) else "stop"


def _usage(view: TurnView) -> dict[str, int]:
    """Return the counts of the model that wrote the answer; zeros where none did, or it did not count."""
    counted = view.usage or {}
    prompt, completion = counted.get("prompt", 0), counted.get("completion", 0)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _ours(view: TurnView) -> dict[str, Any]:
    """Return what OpenAI's objects have no place for: what is cited, and whether the documents answer at all."""
    return {
        "citations": [citation_json(dict(each)) for each in view.citations],
        "is_answered": bool((view.retrieval or {}).get("is_answered", True)),
    }


def _event(part: Mapping[str, Any]) -> bytes:
    return b"data: " + dump(part) + b"\n\n"
