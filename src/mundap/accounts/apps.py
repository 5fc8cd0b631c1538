"""The app's registration."""

from importlib import import_module

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Registers `mundap.accounts`."""

    name = "mundap.accounts"
    label = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Listen to what allauth does: its signals can be named only now, as can the models."""
        import_module("mundap.accounts.audit_signals")
