"""What Lighthouse says of the pages: `.venv/bin/python bench/run_lighthouse.py node_modules/.bin/lighthouse`.

Lighthouse comes from npm (`npm install lighthouse`, anywhere); CHROME_PATH is the browser. Against `mundap up` and the
scripted model; pages that need a log-in get the session's cookie. Prints scores of 100 and what costs some of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from playwright.sync_api import expect, sync_playwright
from tests.e2e.conftest import ARGUMENTS, CHROMIUM, ask, script
from tests.scripted_model import ScriptedModel

from harness import report
from run_page import served, sign_up

CATEGORIES = "accessibility,best-practices,performance,seo"
FLAGS = "--headless=new --no-sandbox --disable-gpu --disable-background-networking"
TIMES = {
    "first_paint_ms": "first-contentful-paint",
    "largest_paint_ms": "largest-contentful-paint",
    "blocked_ms": "total-blocking-time",
    "layout_shift": "cumulative-layout-shift",
    "bytes": "total-byte-weight",
}


def judged(program: Path, url: str, *, cookie: str, is_desk: bool) -> dict[str, Any]:
    """Return the scores of a page, its times, and the audits that are not passed."""
    command = [str(program), url, "--output=json", "--quiet", f"--chrome-flags={FLAGS}"]
    command += [f"--only-categories={CATEGORIES}"]
    command += ["--preset=desktop"] if is_desk else []
    command += [f"--extra-headers={json.dumps({'Cookie': cookie})}"] if cookie else []
    done = subprocess.run(
        command,
        env={"CHROME_PATH": CHROMIUM} | os.environ,
        capture_output=True,
        check=True,
        text=True,
        timeout=180,
    )
    said = json.loads(done.stdout)
    audits = said["audits"]
    weighed = {
        part["id"]
        for category in said["categories"].values()
        for part in category["auditRefs"]
        if part["weight"]
    }
    return {
        "scores": {
            name: round(100 * category["score"]) for name, category in said["categories"].items()
        },
        **{name: round(audits[key]["numericValue"], 3) for name, key in TIMES.items()},
        "not_passed": [
            audits[key]["title"]
            for key in sorted(weighed)
            if audits[key]["score"] is not None and audits[key]["score"] < 0.9
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lighthouse", type=Path)
    options = parser.parse_args()
    with ScriptedModel() as model, served(model) as up:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            context = browser.new_context()
            sign_up(context, up.url)
            page = context.new_page()
            page.goto(f"{up.url}/")
            script(model, "Pour water of 80 degrees over the leaves [1].\n\n```python\nbrew()\n```")
            ask(page)
            expect(page.locator(".answer .actions")).to_be_visible()
            pages = {"log in": "/accounts/login/", "new question": "/", "shelf": "/shelf/"}
            pages["settings"] = "/settings/"
            pages["chat"] = page.url.removeprefix(up.url)
            (key,) = [each for each in context.cookies() if each["name"] == "sessionid"]
            browser.close()
        cookie = f"sessionid={key['value']}"
        found = {
            f"{name}, {'desk' if is_desk else 'phone'}": judged(
                options.lighthouse.absolute(),
                up.url + path,
                cookie="" if name == "log in" else cookie,
                is_desk=is_desk,
            )
            for name, path in pages.items()
            for is_desk in (False, True)
        }
    print(json.dumps(report("run_lighthouse.py", ["whitenoise"], pages=found), indent=2))


if __name__ == "__main__":
    main()
