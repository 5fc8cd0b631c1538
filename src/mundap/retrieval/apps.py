"""The app's registration."""

from django.apps import AppConfig


class RetrievalConfig(AppConfig):
    """Registers `mundap.retrieval`."""

    name = "mundap.retrieval"
    label = "retrieval"
    default_auto_field = "django.db.models.BigAutoField"
