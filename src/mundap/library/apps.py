"""The app's registration."""

from django.apps import AppConfig


class LibraryConfig(AppConfig):
    """Registers `mundap.library`."""

    name = "mundap.library"
    label = "library"
    default_auto_field = "django.db.models.BigAutoField"
