"""Whether a long list of chats scrolls smoothly: `.venv/bin/python bench/run_scroll.py [--chats 10000]`.

Chromium against `mundap up`. The list is scrolled from its beginning to its end by so many pixels a frame: once while
its pages are still being fetched, and once with all rows there. Needs what the browser tests need.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from playwright.sync_api import Page, sync_playwright
from tests.e2e.conftest import ARGUMENTS, CHROMIUM, MUNDAP
from tests.scripted_model import ScriptedModel

from harness import report
from run_page import served, sign_up

FETCH_MS = 300_000
SEED = """
from datetime import timedelta
from django.utils import timezone
from mundap.accounts.models import User
from mundap.chats.models import Chat
owner = User.objects.latest("date_joined")
now = timezone.now()
Chat.objects.bulk_create([
    Chat(owner=owner, title=f"How do I cache view {{n}}?", updated_at=now - timedelta(minutes=20 * n))
    for n in range({chats})
], batch_size=1000)
"""
SCROLL = """([step, rows]) => new Promise((done) => {
    const list = document.scrollingElement;
    const frames = [];
    const count = () => document.querySelectorAll("#rows li").length;
    let last = performance.now();
    scrollTo(0, 0);
    requestAnimationFrame(function tick(now) {
        frames.push(now - last);
        last = now;
        scrollBy(0, step);
        const isAtEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 1;
        if (isAtEnd && count() >= rows) done(frames.slice(1)); else requestAnimationFrame(tick);
    });
})"""


def scrolled(page: Page, step: int, rows: int) -> dict[str, Any]:
    """Return what the frames took, in milliseconds."""
    frames = sorted(page.evaluate(SCROLL, [step, rows]))
    return {
        "frames": len(frames),
        "median_ms": round(statistics.median(frames), 1),
        "p95_ms": round(frames[int(len(frames) * 0.95)], 1),
        "p99_ms": round(frames[int(len(frames) * 0.99)], 1),
        "longest_ms": round(frames[-1], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chats", type=int, default=10_000)
    parser.add_argument("--pixels", type=int, default=400, help="how far it is scrolled a frame")
    options = parser.parse_args()
    with ScriptedModel() as model, served(model) as up, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        sign_up(context, up.url)
        seed = [*MUNDAP, "shell", "-c", SEED.format(chats=options.chats)]
        subprocess.run(seed, env=up.environment, check=True, capture_output=True, timeout=120)
        page = context.new_page()
        page.set_default_timeout(FETCH_MS)
        page.goto(f"{up.url}/chats/")
        found = report(
            "run_scroll.py",
            ["playwright"],
            browser=browser.version,
            while_fetching=scrolled(page, options.pixels, options.chats),
            with_all_rows=scrolled(page, options.pixels, options.chats),
        )
        browser.close()
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
