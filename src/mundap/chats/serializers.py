"""The shapes of the API, for its schema, and the checks of what comes in."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from mundap.chats.models import TITLE_MAX_CHARACTERS, Message, State

COMMENT_MAX_CHARACTERS = 2000
Object = serializers.Serializer[Any]


class CitationSerializer(Object):
    """What a marker `[number]` in an answer stands for."""

    number = serializers.IntegerField()
    passage = serializers.UUIDField(help_text="As in `/api/v1/passages/{id}/`.")
    document = serializers.CharField(help_text="The document's title.")
    path = serializers.CharField()
    headings = serializers.ListField(child=serializers.CharField())
    url = serializers.CharField(help_text="Opens the page at the passage; may be empty.")
    quote = serializers.CharField()
    supported = serializers.BooleanField(
        allow_null=True, help_text="Whether the passage supports the statement; null: not judged."
    )


class FeedbackSerializer(Object):
    """What the reader thinks of an answer; an empty or missing rating takes it back."""

    rating = serializers.ChoiceField(
        choices=Message.Rating.choices, allow_blank=True, allow_null=True, default=""
    )
    comment = serializers.CharField(
        max_length=COMMENT_MAX_CHARACTERS, allow_blank=True, default="", help_text="Why."
    )


class MessageSerializer(Object):
    """A question or an answer."""

    id = serializers.UUIDField()
    position = serializers.IntegerField()
    role = serializers.ChoiceField(choices=Message.Role.choices)
    text = serializers.CharField(help_text="Empty while the answer is being written.")
    state = serializers.ChoiceField(choices=State.choices)
    citations = CitationSerializer(many=True)
    versions = serializers.ListField(
        child=serializers.UUIDField(), help_text="All versions at this position, oldest first."
    )
    feedback = FeedbackSerializer(allow_null=True)
    created_at = serializers.DateTimeField()


class ActiveTurnSerializer(Object):
    """The running turn of a chat."""

    id = serializers.UUIDField()
    stream = serializers.CharField(help_text="Where its stream is read.")


class ListedChatSerializer(Object):
    """A chat without its messages."""

    id = serializers.UUIDField()
    title = serializers.CharField()
    pinned = serializers.BooleanField()
    collection = serializers.SlugField(
        allow_null=True, help_text="null: the collection is no longer there."
    )
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField(help_text="When the last question was asked.")
    rev = serializers.IntegerField(help_text="Grows with each change of what is shown.")
    active_turn = ActiveTurnSerializer(allow_null=True)


class ChatSerializer(ListedChatSerializer):
    """A chat with its last messages, oldest first."""

    messages = MessageSerializer(many=True)
    before = serializers.CharField(
        allow_null=True, help_text="For `?before=`: the earlier messages; null: there are none."
    )


class ExportedMessageSerializer(MessageSerializer):
    """A version of a message."""

    version = serializers.IntegerField()
    is_current = serializers.BooleanField()


class ExportedChatSerializer(ListedChatSerializer):
    """A whole chat, oldest message first, earlier versions before later ones."""

    messages = ExportedMessageSerializer(many=True)


class ShareSerializer(Object):
    """A link by which others may read a copy of a chat."""

    url = serializers.URLField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField(help_text="When the copy was made.")


class ChatListSerializer(Object):
    """A page of chats."""

    results = ListedChatSerializer(many=True)
    next = serializers.URLField(allow_null=True)


class TurnErrorSerializer(Object):
    """Why a turn failed or was interrupted."""

    code = serializers.CharField()
    message = serializers.CharField()


class TurnSerializer(Object):
    """A turn, with the answer's message."""

    turn = serializers.UUIDField()
    chat = serializers.UUIDField()
    status = serializers.ChoiceField(choices=State.choices)
    message = MessageSerializer()
    title = serializers.CharField(help_text="The chat's.")
    error = TurnErrorSerializer(required=False, help_text="Only where it failed.")


class FailedTurnSerializer(Object):
    """A turn that failed; without one where nothing was stored."""

    turn = serializers.UUIDField(required=False)
    chat = serializers.UUIDField(required=False)
    status = serializers.ChoiceField(choices=State.choices, required=False)
    message = MessageSerializer(required=False)
    title = serializers.CharField(required=False)
    error = TurnErrorSerializer()


class QuestionSerializer(Object):
    """A question, at most 16 KB."""

    text = serializers.CharField()


class NewChatSerializer(QuestionSerializer):
    """The first question of a chat."""

    collection = serializers.CharField(help_text="The short name of what is asked.")


class ChatChangeSerializer(Object):
    """What can be changed of a chat; what is left out stays."""

    title = serializers.CharField(max_length=TITLE_MAX_CHARACTERS, required=False)
    pinned = serializers.BooleanField(required=False)


class ErrorDetailSerializer(Object):
    """What is wrong, and what to do."""

    code = serializers.CharField()
    message = serializers.CharField()
    fields = serializers.DictField(  # type: ignore[assignment]
        child=serializers.CharField(), required=False
    )


class ErrorSerializer(Object):
    """The one shape of every error."""

    error = ErrorDetailSerializer()
