"""What a client of OpenAI's protocol asks for: the question, what was said before, and in which form to reply.

What cannot be done is refused by its parameter's name where the reply would otherwise not be what was asked for; what
only tunes a model (temperature, seeds, penalties, limits of tokens) is passed over, for the operator chose the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from mundap.answers.events import HistoryMessage
from mundap.answers.questions import checked_question
from mundap.chats.turns import HISTORY_MESSAGES
from mundap.errors import InvalidInput

# The values that ask for nothing else than what is done anyway.
_ONLY: Mapping[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "tool_choice": (None, "none", "auto"),
    "function_call": (None, "none", "auto"),
    "response_format": (None, {"type": "text"}),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "stop": (None, "", []),
}
_PASSED_OVER = ("system", "developer")


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A checked request; `history` is oldest first and ends before the question."""

    model: str
    question: str
    history: tuple[HistoryMessage, ...]
    is_streamed: bool
    has_usage: bool


def read_request(sent: Mapping[str, Any]) -> CompletionRequest:
    """Return what the body asks for. Raises InvalidInput, or TooLarge for a question above its limit."""
    model = sent.get("model")
    if not isinstance(model, str) or not model:
        raise _refused("model", _("Name a model: the short name of a collection."))
    for name, values in _ONLY.items():
        if sent.get(name) not in values:
            raise _refused(name, _("This value of %(name)s is not supported.") % {"name": name})
    *earlier, last = _messages(sent.get("messages"))
    if last.role != "user":
        raise _refused("messages", _("The last message must be the user's question."))
    said = [one for one in earlier if one.text.strip()][-HISTORY_MESSAGES:]
    options = sent.get("stream_options") or {}
    if not isinstance(options, Mapping):
        raise _refused("stream_options", _("This must be an object."))
    return CompletionRequest(
        model,
        checked_question(last.text, field="messages"),
        # An earlier message is read as far as a question may be long.
        tuple(HistoryMessage(one.role, one.text[: settings.QUESTION_MAX_BYTES]) for one in said),
        is_streamed=_flag(sent, "stream", name="stream"),
        has_usage=_flag(options, "include_usage", name="stream_options.include_usage"),
    )


def _messages(sent: Any) -> list[HistoryMessage]:
    """Return the users' and the assistant's messages; there is at least one."""
    if not isinstance(sent, list):
        raise _refused("messages", _("Send the messages as a list."))
    said = [_message(each, name=f"messages[{number}]") for number, each in enumerate(sent)]
    messages = [each for each in said if each is not None]
    if not messages:
        raise _refused("messages", _("There is no question among the messages."))
    return messages


def _message(sent: Any, *, name: str) -> HistoryMessage | None:
    if not isinstance(sent, Mapping):
        raise _refused(name, _("A message is an object with role and content."))
    role = sent.get("role")
    if role in _PASSED_OVER:
        return None
    if role not in ("user", "assistant"):
        raise _refused(f"{name}.role", _("Only messages of users and assistants are understood."))
    if sent.get("tool_calls") or sent.get("function_call"):
        raise _refused(name, _("Tools cannot be used here."))
    text = _text(sent.get("content"), name=f"{name}.content", may_be_empty=role == "assistant")
    return HistoryMessage(role, text)


def _text(sent: Any, *, name: str, may_be_empty: bool) -> str:
    """Return a content's text: a string, or a list of parts that are all text."""
    if isinstance(sent, str) or (sent is None and may_be_empty):
        return sent or ""
    if not isinstance(sent, list):
        raise _refused(name, _("The content must be a text, or a list of parts with text."))
    texts = []
    for number, part in enumerate(sent):
        text = part.get("text") if isinstance(part, Mapping) else None
        if not isinstance(text, str) or part.get("type") != "text":
            raise _refused(
                f"{name}[{number}]",
                _("Only text is understood: no images, sounds or files in a message."),
            )
        texts.append(text)
    return "\n".join(texts)


def _flag(sent: Mapping[str, Any], key: str, *, name: str) -> bool:
    value = sent.get(key)
    if value is not None and not isinstance(value, bool):
        raise _refused(name, _("%(name)s is either true or false.") % {"name": name})
    return bool(value)


def _refused(param: str, message: str) -> InvalidInput:
    return InvalidInput(message, fields={param: message})
