"""Makes the people and the shelf of a run in the database of the environment; prints {"name": {"id", "token"}} as JSON.

`python -m tests.faults.cast NAME…`, with the settings' variables set.
"""

from __future__ import annotations

import json
import os
import sys

import django
from django.core.management import call_command

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mundap.config.settings")
django.setup()

from mundap.accounts.models import User  # noqa: E402
from mundap.accounts.tokens import make_token  # noqa: E402
from mundap.library.models import Collection  # noqa: E402
from mundap.retrieval.indexing import index_lexical  # noqa: E402
from tests.pages import add_cache_page  # noqa: E402

SHELF = "shelf"
CATEGORY = "notes"  # no official documentation: the model gets it whole, and nothing is refused
TEXTS = ["Use the Redis backend to keep the cache in memory on another machine, as in RedisCache."]


def make_people(names: list[str]) -> dict[str, dict[str, str]]:
    """Return the id and a token of a new user for each name; make the shelf if it is missing."""
    collection, is_new = Collection.objects.get_or_create(
        slug=SHELF,
        defaults={
            "category": CATEGORY,
            "title": "Shelf",
            "title_no": 7,
            "visibility": "everyone",
            "state": "ready",
        },
    )
    if is_new:
        add_cache_page(collection, TEXTS, url="https://docs.example.org/cache/")
        index_lexical(collection)
    people = {}
    for name in names:
        user = User.objects.create_user(f"{name}@example.org")
        people[name] = {"id": str(user.pk), "token": make_token(user, name="chaos")[1]}
    return people


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    sys.stdout.write(json.dumps(make_people(sys.argv[1:])) + "\n")
