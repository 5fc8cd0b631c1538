"""Makes the pictures of docs/images again: `.venv/bin/python -m tests.e2e.pictures [FOLDER]`.

A server of its own with a page of Django's kind on its shelf, the scripted model, and Chromium without motion: the same
pages give the same pictures.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.e2e.conftest import ARGUMENTS, CHROMIUM, Up, Watched, ask, environment_for
from tests.scripted_model import ScriptedModel

FOLDER = Path(__file__).parents[2] / "docs" / "images"
MOST_BYTES = 200_000
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 780}
CACHE = """# Django’s cache framework

## Redis

Redis is an in-memory database that can be used for caching. You need a Redis server that runs locally or on another
machine, and its Python bindings: install redis-py.

To use Redis as your cache backend with Django:

- Set `BACKEND` to `django.core.cache.backends.redis.RedisCache`.
- Set `LOCATION` to the URL that points to your Redis instance, with the right scheme.

```python
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://127.0.0.1:6379",
    }
}
```

Often Redis servers are protected with authentication. Put the user and the password into the URL.

## The per-site cache

Once the cache is set up, the simplest way to use caching is to cache your entire site. Add `UpdateCacheMiddleware` and
`FetchFromCacheMiddleware` to your `MIDDLEWARE` setting. `CACHE_MIDDLEWARE_SECONDS` is the number of seconds that each
page is cached.
"""
ENGLISH = """To use **Redis** as the cache backend, install `redis-py` and start a Redis server [1]. Then:

1. Set `BACKEND` to `django.core.cache.backends.redis.RedisCache` [1].
2. Set `LOCATION` to the URL that points to your Redis instance [1]:

```python
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://127.0.0.1:6379",
    }
}
```

To cache your entire site, add `UpdateCacheMiddleware` to your `MIDDLEWARE` setting [2]."""
KOREAN = """**Redis**를 캐시 백엔드로 쓰려면 `redis-py`를 설치하고 Redis 서버를 실행합니다 [1].

1. `BACKEND`를 `django.core.cache.backends.redis.RedisCache`로 설정합니다 [1].
2. `LOCATION`을 Redis 인스턴스의 URL로 설정합니다 [1]:

```python
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://127.0.0.1:6379",
    }
}
```

사이트 전체를 캐시하려면 `MIDDLEWARE` 설정에 `UpdateCacheMiddleware`를 추가합니다 [2]."""
QUESTIONS = {
    "en": ("How do I use Redis as the cache?", ENGLISH, "Redis as the cache backend"),
    "ko": ("Redis를 캐시로 쓰려면 어떻게 하나요?", KOREAN, "Redis를 캐시 백엔드로"),
}


@contextmanager
def served(model: ScriptedModel) -> Iterator[Up]:
    folder = Path(tempfile.mkdtemp(prefix="mundap-pictures-"))
    folder.chmod(0o711)
    documents = folder / "documents"
    documents.mkdir()
    (documents / "cache.md").write_text(CACHE, encoding="utf-8")
    environment = environment_for(folder / "home", model)
    # The local embedding model: what is doubted in the pictures is what would be.
    chosen = {name: text for name, text in environment.items() if "EMBEDDING" not in name}
    up = Up(chosen, documents)
    try:
        up.start()
        up.ingest(
            "--slug",
            "django",
            "--title",
            "Django",
            "--base-url",
            "https://docs.djangoproject.com/en/5.2/topics/",
        )
        yield up
    finally:
        up.stop()
        shutil.rmtree(folder, ignore_errors=True)


def opened(browser: Browser, server: str, *, language: str, **options: Any) -> Watched:
    """Return somebody's first page."""
    names = {"en": "en-US", "ko": "ko-KR"}
    context = browser.new_context(locale=names[language], reduced_motion="reduce", **options)
    watched = Watched(context, server)
    watched.sign_up()
    return watched


def answer(page: Page, model: ScriptedModel, language: str) -> None:
    question, text, title = QUESTIONS[language]
    model.reset()
    for reply in ("redis cache backend", text, title):
        model.say(reply)
    ask(page, question)
    expect(page.locator(".answer .actions")).to_be_visible()
    expect(page.locator("#chats a").first).to_have_text(title, timeout=10_000)
    page.evaluate("document.activeElement.blur()")


def kept(page: Page, folder: Path, name: str) -> None:
    """Keep a picture."""
    file = folder / f"{name}.png"
    page.screenshot(path=file)
    if file.stat().st_size > MOST_BYTES:
        sys.exit(f"{file} has {file.stat().st_size} bytes, more than {MOST_BYTES}")


def talk(browser: Browser, server: str, model: ScriptedModel, folder: Path) -> None:
    """The conversation: with a passage beside it, on a phone, in the dark and in Korean."""
    for name, language, size, scheme in (
        ("answer", "en", DESK, "light"),
        ("answer-dark", "en", DESK, "dark"),
        ("answer-korean", "ko", DESK, "light"),
        ("phone", "en", PHONE, "light"),
        ("phone-korean-dark", "ko", PHONE, "dark"),
    ):
        watched = opened(browser, server, language=language, viewport=size, color_scheme=scheme)
        page = watched.page
        if name == "answer":
            kept(page, folder, "question")
        answer(page, model, language)
        if name.startswith("phone"):
            kept(page, folder, name)
            page.locator(".prose .citation").nth(1).click()
            expect(page.locator("#pane mark").first).to_be_visible()
            kept(page, folder, f"{name}-source")
        else:
            page.locator(".prose .citation").nth(2).click()
            expect(page.locator("#pane mark").first).to_be_visible()
            kept(page, folder, name)
        watched.context.close()


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with ScriptedModel() as model, served(model) as up, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        talk(browser, up.url, model, folder)
        browser.close()


if __name__ == "__main__":
    main()
