"""The app's registration, and that of the checks of the settings."""

from django.apps import AppConfig
from django.core import checks

from mundap.config.production_checks import check_production
from mundap.config.redis_checks import check_redis


class WebConfig(AppConfig):
    """Registers `mundap.web`."""

    name = "mundap.web"
    label = "web"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks of the settings."""
        checks.register(check_redis, checks.Tags.caches)
        checks.register(check_production, checks.Tags.security)
