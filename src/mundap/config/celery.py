"""Background work: the Celery application. What is to do stands in Postgres; Redis only carries the hint."""

from __future__ import annotations

import os

from celery import Celery
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mundap.config.settings")

app = Celery("mundap")
app.conf.update(settings.CELERY)
app.autodiscover_tasks()
