"""Migrates the database of the environment and makes people there; prints {"name": {"id", "token"}} as JSON.

`python -m tests.faults.cast NAME…`, with the settings' variables set.
"""

from __future__ import annotations

import json
import sys

import django
from django.core.management import call_command

django.setup()

from tests.faults.people import make_people  # noqa: E402

call_command("migrate", verbosity=0)
sys.stdout.write(json.dumps(make_people(*sys.argv[1:])) + "\n")
