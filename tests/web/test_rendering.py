"""Answers as HTML: what a reader sees, and what can never come through."""

from __future__ import annotations

from typing import Any

import pytest
from bs4 import BeautifulSoup

from mundap.chats.rendering import answer_html

MESSAGE = "0197a000-0000-7000-8000-00000000000a"
PASSAGE = "0197a000-0000-7000-8000-00000000000b"


def citation(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "number": number,
        "passage": PASSAGE,
        "document": "Caching",
        "headings": ["Django’s cache framework", "Redis"],
        "supported": True,
    } | changes


def render(text: str, *citations: dict[str, Any]) -> str:
    return answer_html(text, citations=citations, message=MESSAGE)


def test_a_marker_opens_its_passage() -> None:
    html = render("Set `CACHES` [1].", citation())
    assert f'href="/passages/{PASSAGE}/?message={MESSAGE}&amp;n=1"' in html
    assert 'class="citation"' in html
    assert 'aria-label="Source 1: Django’s cache framework › Redis"' in html


def test_markers_side_by_side_are_two_links() -> None:
    assert render("So it is [1][2].", citation(1), citation(2)).count("<a ") == 2


def test_a_marker_without_its_citation_stays_text() -> None:
    html = render("As in [7] and [1].", citation())
    assert "[7]" in html
    assert html.count("<a ") == 1


@pytest.mark.parametrize("text", ["`rows[1]`", "```python\nrows[1]\n```", "    rows[1]"])
def test_markers_in_code_are_left_alone(text: str) -> None:
    html = render(text, citation())
    assert "citation" not in html
    assert "[" in html


def test_a_marker_in_a_link_does_not_nest() -> None:
    html = render("[see [1]](https://example.org/)", citation())
    assert html.count("<a ") == 1
    assert "example.org" in html


def test_a_doubtful_citation_says_so() -> None:
    html = render("Surely [1].", citation(supported=False))
    assert "is-doubtful" in html
    assert "may not support this statement" in html


@pytest.mark.parametrize(
    ("text", "doubted"),
    [
        ("Good [1]. Bad [2]. Good again [1].", ["Bad"]),
        ("It is so. Bad **in `part`** too [2][1], and on.", ["Bad in part too"]),
        ("Add milk. [2] Then drink.", ["Add milk."]),
        ("- one [1]\n- two [2]", ["two"]),
        ("물을 끓입니다[2]. 차를 넣습니다[1].", ["물을 끓입니다"]),
        ("> quoted [2]", ["quoted"]),
        ("**all of it [2]**", []),
        ("`x [2]` is code [1]", []),
    ],
)
def test_only_the_doubtful_statement_is_marked(text: str, doubted: list[str]) -> None:
    html = render(text, citation(1), citation(2, supported=False))
    found = BeautifulSoup(html, "html.parser").select(".doubted")
    assert [part.get_text() for part in found] == doubted


def test_only_the_statements_that_a_citation_does_not_support_are_marked() -> None:
    doubtful = citation(supported=False, doubted=["The *second* `part` of it."])
    html = render(
        "The first part [1]. The *second* `part` of it [1].\n\n```\nx\n```\n\n[1]", doubtful
    )
    soup = BeautifulSoup(html, "html.parser")
    assert [part.get_text() for part in soup.select(".doubted")] == ["The second part of it"]
    marked = ["is-doubtful" in marker["class"] for marker in soup.select(".citation")]
    assert marked == [False, True, False]


@pytest.mark.parametrize(
    ("link", "host"),
    [
        ("[docs](https://docs.example.org/a)", "(docs.example.org)"),
        ("[docs](https://docs.example.org@evil.example/)", "(evil.example)"),
        ("[docs](https://d\u043e\u0441s.example/)", "(xn--ds-fmcm.example)"),
        ("[docs.example.org](https://docs.example.org/a)", None),
        ("<https://docs.example.org/a>", None),
    ],
)
def test_a_link_says_where_it_goes(link: str, host: str | None) -> None:
    soup = BeautifulSoup(render(link), "html.parser")
    hint = soup.select_one(".host")
    assert (hint and hint.get_text(strip=True)) == host
    (anchor,) = soup.select("a")
    assert str(anchor["title"]).startswith("https://")
    assert anchor["target"] == "_blank"


def test_an_unjudged_citation_is_not_marked() -> None:
    assert "is-doubtful" not in render("Surely [1].", citation(supported=None))


def test_a_definition_cannot_redirect_a_marker() -> None:
    html = render("Read [1].\n\n[1]: https://evil.example/", citation())
    assert 'href="https://evil.example/"' not in html
    assert "/passages/" in html


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        '<a href="javascript:alert(1)">x</a>',
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        "[x](vbscript:alert(1))",
        "<svg/onload=alert(1)>",
        "`<script>alert(1)</script>`",
        "```\n</code></pre><script>alert(1)</script>\n```",
        '```"><script>alert(1)</script>\nx\n```',
        '```python" onmouseover="alert(1)\nx\n```',
        "<iframe src=https://evil.example></iframe>",
        "<style>*{display:none}</style>",
        "[x](https://e.example 'a\" onmouseover=\"alert(1)')",
    ],
)
def test_attacks_are_inert(attack: str) -> None:
    for tag in BeautifulSoup(render(attack, citation()), "html.parser").find_all(True):
        assert tag.name in {"p", "pre", "code", "a", "span", "wbr"}
        assert not any(name.startswith("on") for name in tag.attrs)
        assert str(tag.get("href", "https:")).startswith("https:")


def test_an_attack_in_the_headings_is_inert() -> None:
    html = render("See [1].", citation(headings=['"><script>alert(1)</script>']))
    assert "<script" not in html


def test_images_are_never_fetched() -> None:
    html = render(
        "![a map](https://evil.example/track.png) ![m][1]\n\n[1]: https://evil.example/t.png"
    )
    assert "<img" not in html
    assert "a map" in html


def test_links_carry_no_referrer_and_no_trust() -> None:
    assert 'rel="nofollow noopener noreferrer"' in render("[docs](https://docs.djangoproject.com/)")


@pytest.mark.parametrize("target", ["/accounts/logout/", "//evil.example/", "chats/", "#x"])
def test_links_into_this_site_stay_text(target: str) -> None:
    assert "<a " not in render(f"[click]({target})")


def test_code_is_highlighted_by_classes() -> None:
    html = render('```python\nCACHES = {"default": 1}\n```')
    assert '<span class="n">CACHES</span>' in html
    assert 'data-language="python"' in html
    assert "style=" not in html


def test_code_in_an_unknown_language_is_shown() -> None:
    html = render("```klingon\nqapla' <x>\n```")
    assert "qapla" in html
    assert "&lt;x&gt;" in html


def test_markers_below_code_are_set_apart() -> None:
    html = render("```\nx\n```\n\n[1][2]\n\nText [1].", citation(1), citation(2))
    assert html.count('<p class="markers">') == 1


def test_a_long_name_breaks_where_its_parts_meet() -> None:
    assert "<code>django.<wbr>core.<wbr>cache.<wbr>backends</code>" in render(
        "`django.core.cache.backends`"
    )
    assert '<code class="short">django.core</code>' in render("`django.core`")
    assert "<code>path/<wbr>to/<wbr>a&lt;b&gt;c_<wbr>d and some more</code>" in render(
        "`path/to/a<b>c_d and some more`"
    )


def test_a_wide_table_scrolls_in_its_own_box() -> None:
    html = render("| a | b |\n|---|:-:|\n| 1 | 2 |")
    assert '<div class="table" tabindex="0"><table>' in html
    assert "style=" not in html


def test_headings_lie_below_the_question() -> None:
    html = render("# One\n\n###### Six")
    assert "<h3>One</h3>" in html
    assert "<h6>Six</h6>" in html


def test_korean_text_with_a_marker() -> None:
    html = render("캐시는 `CACHES` 설정으로 켭니다[1].", citation())
    assert "켭니다<a " in html


def test_a_deeply_nested_answer_is_rendered_in_bounded_time() -> None:
    html = render("> " * 5000 + "x" + "[" * 5000, citation())
    assert html.startswith("<blockquote>")
