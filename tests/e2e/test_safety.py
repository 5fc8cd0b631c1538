"""Markup in every text that people, models and documents write is text, while it arrives and once it is stored."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.e2e.conftest import Watched, ask, script
from tests.scripted_model import ScriptedModel

EVIL = (
    "<script>alert(1)</script><img src=x onerror=alert(2)> "
    "[click](javascript:alert(3)) ![track](https://evil.example/t.png) [hidden](https://evil.example/) "
    "<svg/onload=alert(4)>\n\n```html\n</code></pre><img src=x onerror=alert(5)>\n```\n\nas documented [1]"
)
HARMFUL = """() => [...document.querySelectorAll("#messages *, #bar *, #chats *, #pane *")].filter(
    (element) => element.matches("script, img, iframe, object, embed, style, base, form[action^='http']")
        || [...element.attributes].some(({name, value}) => /^on/.test(name) || /^\\s*javascript:/i.test(value))
).length"""


def test_markup_is_text_in_questions_answers_and_titles(
    watched: Watched, e2e_model: ScriptedModel
) -> None:
    script(e2e_model, EVIL, hold_after=len(EVIL.split()) - 1)
    page = watched.sign_up()
    ask(page, f"How? {EVIL}")
    expect(page.locator(".answer .prose pre")).to_contain_text("onerror=alert(5)")
    assert page.evaluate(HARMFUL) == 0
    e2e_model.release()
    expect(page.locator(".answer .sources")).to_be_visible()
    page.locator(".prose .citation").click()
    expect(page.locator("#pane .passage")).to_be_visible()
    assert page.evaluate(HARMFUL) == 0
    page.reload()
    expect(page.locator(".prose")).to_contain_text("<script>alert(1)</script>")
    expect(page.locator(".prose .host")).to_have_text("(evil.example)")
    page.locator(".edit summary").click()
    expect(page.locator(".edit textarea")).to_have_value(f"How? {EVIL}")
    assert page.evaluate(HARMFUL) == 0


def test_the_api_s_documentation_keeps_the_policy(watched: Watched) -> None:
    page = watched.page
    response = page.goto(f"{watched.server}/api/docs/")
    assert response
    assert "unsafe" not in response.headers["content-security-policy"]
    expect(page.locator(".swagger-ui .info .title")).to_be_visible()
