"""The app's registration, and that of Django's admin with our site."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin import apps


class AdministrationConfig(AppConfig):
    """Registers `mundap.administration`."""

    default = True
    name = "mundap.administration"
    label = "administration"


class SiteConfig(apps.AdminConfig):
    """Registers Django's admin; what any app registers there, our site has."""

    default = False
    default_site = "mundap.administration.site.AdministrationSite"
