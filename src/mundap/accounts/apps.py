"""The app's registration."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Registers `mundap.accounts`."""

    name = "mundap.accounts"
    label = "accounts"
    default_auto_field = "django.db.models.BigAutoField"
