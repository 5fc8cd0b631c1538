"""What a page weighs, how soon it can be used, and whether it stays smooth while a long answer arrives.

    .venv/bin/python bench/run_page.py [--words 5000] [--words-per-second 250]

Chromium (CHROMIUM names another one) against `mundap up` and the scripted model. A chat page is opened with an empty
cache; then an answer of so many words of Markdown is asked for and watched: frames, long tasks, layout
shifts, and how often the page showed more of it while it arrived; frames without an update are those that nothing was
sent for, and those that only markup was sent for (half a table's row), which shows nothing yet. Needs what the browser
tests need.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from playwright.sync_api import BrowserContext, Page, Response, sync_playwright
from tests.e2e.conftest import ARGUMENTS, CHROMIUM, PASSWORD, TEA, Up, environment_for
from tests.scripted_model import Reply, ScriptedModel

from harness import report

QUESTION = "How do I brew green tea?"
WATCH = """() => {
    const seen = window.seen = {frames: [], long: [], shifts: 0, first: 0, asked: performance.now(), ticks: []};
    const observe = (type, take) => new PerformanceObserver((list) => list.getEntries().forEach(take)).observe({type});
    observe("longtask", (entry) => seen.long.push(entry.duration));
    observe("layout-shift", (entry) => { if (!entry.hadRecentInput) seen.shifts += entry.value; });
    let changed = false;
    new MutationObserver(() => { changed = true; }).observe(
        document.getElementById("messages"), {subtree: true, childList: true, characterData: true});
    let sent = 0, news = 0;
    const parse = JSON.parse;
    JSON.parse = (...given) => {
        const event = parse(...given);
        if (event?.kind === "blocks") [sent, news] = [sent + 1, news + event.changes.length];
        return event;
    };
    let last = performance.now();
    requestAnimationFrame(function tick(now) {
        seen.frames.push(now - last);
        last = now;
        seen.ticks.push([changed, sent, news]);
        [sent, news] = [0, 0];
        if (changed) {
            if (!seen.first && document.querySelector(".answer:last-child .prose")?.textContent) {
                seen.first = performance.now() - seen.asked;
            }
        }
        changed = false;
        seen.frame = requestAnimationFrame(tick);
    });
}"""


class PacedModel(ScriptedModel):
    """The scripted model with so many tokens a second; 0 is as quick as it can."""

    tokens_per_second = 0.0

    async def _hold(self, reply: Reply, gate: threading.Event, sent: int) -> None:
        if self.tokens_per_second:
            await asyncio.sleep(
                max(0.0, self._begun + sent / self.tokens_per_second - time.monotonic())
            )

    async def _stream(self, *arguments: Any) -> Any:
        self._begun = time.monotonic()
        async for event in super()._stream(*arguments):
            yield event


def long_answer(words: int) -> str:
    """Return Markdown of about so many words: paragraphs, lists, code and a table again and again."""
    sentence = "To brew **green tea**, pour water of `80` degrees over the leaves and wait two minutes [1]."
    code = '```python\ndef brew(kind, degrees=80):\n    """Return a cup."""\n    return Tea(kind, degrees)\n```'
    items = "\n".join(f"- {sentence}" for _ in range(4))
    table = "| Tea | Minutes |\n|---|---|\n| green | 2 |\n| black | 4 |"
    part = "\n\n".join([f"## Step\n\n{' '.join([sentence] * 3)}", items, code, table])
    return "\n\n".join([part] * (words * 5 // (len(part.split()) * 4) + 1))  # a fifth is markup


@contextmanager
def served(model: ScriptedModel) -> Iterator[Up]:
    folder = Path(tempfile.mkdtemp(prefix="mundap-bench-"))
    folder.chmod(0o711)
    (folder / "documents").mkdir()
    (folder / "documents" / "tea.md").write_text(TEA, encoding="utf-8")
    up = Up(environment_for(folder / "home", model), folder / "documents")
    try:
        up.start()
        up.ingest()
        yield up
    finally:
        up.stop()
        shutil.rmtree(folder, ignore_errors=True)


def sign_up(context: BrowserContext, server: str) -> None:
    account = {"email": f"{uuid4().hex[:12]}@example.org", "password": PASSWORD}
    reply = context.request.post(f"{server}/_allauth/app/v1/auth/signup", data=account)
    cookie = {"name": "sessionid", "value": reply.json()["meta"]["session_token"], "url": server}
    context.add_cookies([cookie])


def weighed(context: BrowserContext, url: str) -> dict[str, Any]:
    """Return what opening the address sends, with an empty cache, and how soon the page can be used."""
    page = context.new_page()
    responses: list[Response] = []
    page.on("response", lambda response: responses.append(response))  # noqa: PLW0108 - it is given a name
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    sent: list[int] = []
    session.on("Network.loadingFinished", lambda event: sent.append(event["encodedDataLength"]))
    page.goto(url, wait_until="networkidle")
    times = page.evaluate("""() => {
        const [navigation] = performance.getEntriesByType("navigation");
        const [paint] = performance.getEntriesByName("first-contentful-paint");
        return [navigation.responseStart, paint.startTime, navigation.domContentLoadedEventEnd];
    }""")
    bodies = [response.body() for response in responses]
    page.close()
    first_byte, paint, interactive = (round(each) for each in times)
    return {
        "requests": len(responses),
        "sent_bytes": int(sum(sent)),
        "gzip_bytes": sum(len(gzip.compress(body)) for body in bodies),
        "raw_bytes": sum(map(len, bodies)),
        "first_byte_ms": first_byte,
        "first_paint_ms": paint,
        "interactive_ms": interactive,
    }


def streamed(page: Page) -> dict[str, Any]:
    """Ask, and return how the answer arrived."""
    page.locator("#text").fill(QUESTION)
    page.evaluate(WATCH)
    page.locator("#text").press("Enter")
    page.locator(".answer:last-child .actions").wait_for(timeout=300_000)
    seen = page.evaluate("() => { cancelAnimationFrame(seen.frame); return seen; }")
    frames = sorted(seen["frames"][1:])
    seconds = sum(frames) / 1000
    return {
        "first_text_ms": round(seen["first"]),
        "seconds": round(seconds, 1),
        "frames_per_second": round(len(frames) / seconds, 1),
        **arrived(seen["ticks"]),
        "frame_ms": {
            "median": round(statistics.median(frames), 1),
            "p99": round(frames[int(len(frames) * 0.99)], 1),
            "longest": round(frames[-1], 1),
        },
        "frames_over_50_ms": sum(each > 50 for each in frames),
        "long_tasks": len(seen["long"]),
        "long_task_ms": round(sum(seen["long"])),
        "layout_shift": round(seen["shifts"], 5),
        "words": len(page.locator(".answer:last-child .prose").inner_text().split()),
    }


def arrived(ticks: list[tuple[bool, int, int]]) -> dict[str, Any]:
    """Return what became of the frames between the first text and the last."""
    told = [place for place, (_, _, news) in enumerate(ticks) if news]
    while_arriving = ticks[told[0] : told[-1] + 1]
    shown = sum(changed for changed, _, _ in while_arriving)
    return {
        "updates_per_second": round(60 * shown / len(while_arriving), 1),
        "frames_while_arriving": len(while_arriving),
        "frames_without_text": sum(1 for _, sent, _ in while_arriving if not sent),
        "frames_with_markup_only": sum(1 for _, sent, news in while_arriving if sent and not news),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--words", type=int, default=5000)
    parser.add_argument("--words-per-second", type=float, default=250)
    options = parser.parse_args()
    with PacedModel() as model, served(model) as up, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        sign_up(context, up.url)
        page = context.new_page()
        page.goto(f"{up.url}/")
        model.say("brewing green tea")
        model.say("Pour water of 80 degrees over the leaves [1].")
        short = streamed(page)
        model.reset()
        model.say("brewing green tea")
        model.say(long_answer(options.words))
        model.tokens_per_second = options.words_per_second
        long = streamed(page)
        found = report(
            "run_page.py",
            ["playwright", "whitenoise"],
            browser=browser.version,
            new_question=weighed(context, f"{up.url}/"),
            chat=weighed(context, page.url),
            short_answer=short,
            long_answer=long,
        )
        browser.close()
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
