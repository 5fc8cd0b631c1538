"""Begins and finishes turns in the database of the environment, as the server does; prints each one's milliseconds.

`python turn_steps.py USER CHAT TURNS`, with the settings' variables set. No model and no HTTP: what a turn's two
transactions cost. The chat is left with these turns' messages.
"""

from __future__ import annotations

import json
import os
import sys
import time
from uuid import UUID

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mundap.config.settings")
django.setup()

from mundap.accounts.models import User  # noqa: E402
from mundap.chats import services, turns  # noqa: E402
from mundap.chats.models import State  # noqa: E402

QUESTION = "How do I configure the cache, and where does it keep its entries? "
ANSWER = "Set BACKEND and LOCATION in CACHES to the cache that you want. "
CHARACTERS = 600
WARM_UP = 5


def main() -> None:
    user, chat = User.objects.get(pk=sys.argv[1]), UUID(sys.argv[2])
    asked = (QUESTION * 20)[:CHARACTERS]
    ending = turns.Ending(State.COMPLETE, (ANSWER * 20)[:CHARACTERS])
    times: dict[str, list[float]] = {"begin": [], "finish": [], "retitle": []}
    for number in range(WARM_UP + int(sys.argv[3])):
        moments = [time.perf_counter()]
        ask = turns.Ask(asked, f"{os.getpid()}-{number}", chat=chat)
        begun = turns.begin(user, ask, runner="bench", has_room=True)
        moments.append(time.perf_counter())
        assert turns.finish(begun.turn, ending, runner="bench")
        moments.append(time.perf_counter())
        services.change_chat(user, chat, title=f"Chat {number}")
        moments.append(time.perf_counter())
        if number >= WARM_UP:
            for name, begin, end in zip(times, moments, moments[1:], strict=False):
                times[name].append((end - begin) * 1000)
    print(json.dumps(times))


if __name__ == "__main__":
    main()
