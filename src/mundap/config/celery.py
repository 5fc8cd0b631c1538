"""Background work: the Celery application. What is to do stands in Postgres; Redis only carries the hint."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.beat import EmbeddedService, Scheduler
from celery.bootsteps import StartStopStep
from celery.signals import setup_logging, worker_ready
from django.conf import settings
from kombu.transport.virtual import QoS

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mundap.config.settings")

# A worker that loses Redis with a hint in hand would put it back there, fail in that, and end for good. The clock gives
# the hint again; so no hint is acknowledged either (`ack_emulation` in the settings).
QoS.restore_at_shutdown = False

app = Celery("mundap")
app.conf.update(settings.CELERY)
app.autodiscover_tasks()


class _Clock(StartStopStep):
    """Each worker's own clock: a thread. The process that `--beat` makes of it would outlive a worker that is killed.

    It keeps no file: what is due is asked of Postgres, not remembered.
    """

    def create(self, worker: Any) -> Any:
        return EmbeddedService(worker.app, thread=True, scheduler_cls=Scheduler)

    def stop(self, parent: Any) -> None:
        self.obj.service.stop()  # and is not waited for: without Redis it waits itself

    terminate = stop


app.steps["worker"].add(_Clock)


@setup_logging.connect
def leave_logging_alone(**_: object) -> None:
    """Keep Celery from setting up its own: the settings' is in force already."""


@worker_ready.connect
def look_at_once(**_: object) -> None:
    """Give the clock's hints once at the start: a first shelf need not wait for the first tick."""
    for entry in app.conf.beat_schedule.values():
        app.send_task(entry["task"], **entry["options"])
