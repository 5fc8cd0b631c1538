"""The app's registration."""

from django.apps import AppConfig


class WebConfig(AppConfig):
    """Registers `mundap.web`."""

    name = "mundap.web"
    label = "web"
    default_auto_field = "django.db.models.BigAutoField"
