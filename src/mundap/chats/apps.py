"""The app's registration."""

from django.apps import AppConfig


class ChatsConfig(AppConfig):
    """Registers `mundap.chats`."""

    name = "mundap.chats"
    label = "chats"
    default_auto_field = "django.db.models.BigAutoField"
