"""The pages of the shelf: what it holds and how fresh it is, and the forms that change it."""

from __future__ import annotations

from pathlib import Path

import pytest
from bs4 import BeautifulSoup, Tag
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from mundap.accounts.models import User
from mundap.library import runs, services
from mundap.library.models import Collection, Document, Passage, Run, RunPage, Worker
from mundap.library.services import Label
from mundap.retrieval.indexing import index_lexical
from tests.library.reading_runs import read
from tests.library.shelf import write_pages
from tests.web.test_pages import one, page, text_of

pytestmark = pytest.mark.django_db
TEA = b"# Tea\n\nWater of 80 degrees."


@pytest.fixture
def staff_client(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_user("staff@example.org", is_staff=True))
    return client


@pytest.fixture
def hers(alice: User) -> Collection:
    return services.make_reference(alice, Label(title="Her notes", category="CLASS"))


def posted(client: Client, url: str, status: int = 302, **data: object) -> BeautifulSoup:
    response = client.post(url, data)
    assert response.status_code == status, response.content[:2000]
    return BeautifulSoup(response.content, "html.parser")


def texts(soup: BeautifulSoup | Tag, selector: str) -> list[str]:
    return [" ".join(found.get_text().split()) for found in soup.select(selector)]


# --- the shelf


def test_the_shelf_shows_what_there_is_and_how_fresh_it_is(
    alice_client: Client, bob_client: Client, passage: Passage, hers: Collection
) -> None:
    Collection.objects.filter(slug="django").update(ingested_at=timezone.now())
    Collection.objects.create(
        slug="django-4", title="Django", version="4.2", title_no=2, family="django",
        is_current=False, visibility="everyone",
    )  # fmt: skip
    Collection.objects.create(
        slug="guide", title="Guide", category="TEAM", title_no=3, visibility="everyone"
    )
    soup = page(alice_client, "/shelf/")
    assert texts(soup, "main h2") == ["Official documentation", "References TEAM", "Yours"]
    entry = one(soup, ".entry")
    assert texts(entry, ".versions a") == ["5.2 current", "4.2"]
    assert text_of(entry, ".fresh") == "just now"
    assert one(entry, ".ask")["href"] == "/?collection=django"
    assert texts(soup, ".entry .number") == ["3", "CLASS 1"]
    assert texts(page(bob_client, "/shelf/"), ".entry h3 > a") == ["Django", "3Guide"]
    assert not soup.select("a[href='/add/source/']")


def test_the_chooser_puts_versions_into_one_entry(alice_client: Client, passage: Passage) -> None:
    older = Collection.objects.create(
        slug="django-4", title="Django", version="4.2", title_no=2, family="django",
        is_current=False, visibility="everyone",
    )  # fmt: skip
    Passage.objects.filter(pk=passage.pk).update(collection=older)
    soup = page(alice_client, "/")
    choices = soup.select(".book input[name=collection]")
    assert [choice["value"] for choice in choices] == ["django", "django-4"]
    assert [choice.has_attr("checked") for choice in choices] == [True, False]
    assert len(soup.select(".book")) == 1
    assert not soup.select("#shelf-filter")
    for number in range(8):
        Collection.objects.create(
            slug=f"c{number}", title="C", category="TEAM", title_no=number, visibility="everyone"
        )
    assert one(page(alice_client, "/"), "#shelf-filter")


def test_an_empty_collection_of_files_is_not_waited_for(alice_client: Client, hers) -> None:
    soup = page(alice_client, "/ask/shelf/")
    assert "No files yet" in text_of(soup, ".book")
    assert not one(soup, "#shelf").has_attr("data-filling")


# --- a collection and its documents


def test_a_reader_sees_a_collection_and_changes_nothing(
    alice_client: Client, passage: Passage
) -> None:
    Document.objects.create(
        collection=passage.collection, path="z.txt", state="failed", error="It is not text."
    )
    soup = page(alice_client, "/shelf/django/")
    assert text_of(soup, "h1") == "Django 5.2"
    assert texts(soup, "tbody th a") == ["Django’s cache framework", "z.txt"]
    assert "It is not text." in text_of(soup, "tbody")
    assert texts(soup, "main form button") == ["Search", "Show"]
    found = page(alice_client, "/shelf/django/?q=CACHE&state=ready")
    assert texts(found, "tbody th a") == ["Django’s cache framework"]
    assert "No document is like that." in text_of(page(alice_client, "/shelf/django/?q=zz"), "main")


def test_a_document_as_its_passages_and_as_text(alice_client: Client, passage: Passage) -> None:
    index_lexical(passage.collection)
    address = f"/documents/{passage.document_id}/"
    soup = page(alice_client, address)
    assert len(soup.select(".passages > li")) == 3
    assert one(soup, ".passages a")["href"].endswith("/topics/cache/#redis")
    facts = text_of(soup, ".passages .facts")
    assert "found by words" in facts
    assert "not found by meaning yet" in facts
    assert "To use Redis as your cache backend" in text_of(
        page(alice_client, f"{address}?view=text"), "pre"
    )


def test_a_search_shows_what_was_found_and_why(alice_client: Client, passage: Passage) -> None:
    index_lexical(passage.collection)
    soup = page(alice_client, "/shelf/django/search/?q=redis+as+the+cache+backend")
    assert "To use Redis" in text_of(soup, ".passages .text")
    assert "score" in text_of(soup, ".passages .facts")
    assert one(soup, ".passages h2 a")["href"].startswith(f"/documents/{passage.document_id}/")
    assert not page(alice_client, "/shelf/django/search/").select(".passages")
    page(alice_client, f"/shelf/django/search/?q={'x' * 20_000}", status=413)


# --- runs


def test_a_source_from_the_form_to_its_deletion(
    staff_client: Client, alice_client: Client, tmp_path: Path
) -> None:
    write_pages(tmp_path, {"tea.md": TEA.decode(), "bad.txt": "\0" * 500})
    source = f"dir:{tmp_path}"
    assert "dir:/path" not in texts(page(staff_client, "/add/source/"), "#kinds dt")
    User.objects.filter(email="staff@example.org").update(is_superuser=True)
    assert texts(page(staff_client, "/add/source/"), "#kinds dt")[0] == "dir:/path"
    refused = posted(staff_client, "/add/source/", 400, source="tea", title="Tea")
    assert one(refused, "#source")["value"] == "tea"
    assert one(refused, "#title")["value"] == "Tea"
    assert "Begin with one of the known kinds" in text_of(refused, "#source-error")
    posted(staff_client, "/add/source/", source=source, slug="tea", title="", refresh_days="3")

    # Nobody reads it, and the page says so.
    soup = page(staff_client, "/shelf/tea/")
    assert one(soup, "#state").has_attr("data-filling")
    assert "mundap worker" in text_of(soup, "#state .notice")
    assert not page(alice_client, "/shelf/tea/state/").select(".notice, form")
    collection = Collection.objects.get(slug="tea")
    run = collection.runs.get()
    RunPage.objects.create(run=run, path="a.md", state="changed")
    RunPage.objects.create(run=run, path="b.md")
    Worker.objects.create(name="w", is_command=False, seen_at=timezone.now())
    soup = page(staff_client, f"/runs/{run.pk}/?fragment=1")
    assert one(soup, "progress")["value"] == "1"
    assert "1 changed" in text_of(soup, ".counts")
    assert "One worker is at it." in text_of(soup, "#state")
    run.pages.all().delete()

    read(collection)
    soup = page(staff_client, "/shelf/tea/")
    assert not one(soup, "#state").has_attr("data-filling")
    assert "1 of 2 documents could not be read" in text_of(soup, "#state")
    assert "every 3 days" in text_of(soup, "dl.facts")
    assert "1 could not be read" in text_of(soup, "[data-part=runs] .counts")
    failed = page(staff_client, f"/runs/{run.pk}/?state=failed")
    assert texts(failed, "tbody th") == ["bad.txt"]

    posted(staff_client, "/shelf/tea/retry/")
    refused = posted(staff_client, "/shelf/tea/refresh/", 409)
    assert "is being read" in text_of(refused, ".notice.is-error")
    again = collection.runs.get(state="waiting")
    posted(staff_client, f"/runs/{again.pk}/cancel/")
    again.refresh_from_db()
    assert again.state == Run.State.CANCELLED

    assert "Its 2 documents go for good." in text_of(
        page(staff_client, "/shelf/tea/delete/"), "main"
    )
    posted(staff_client, "/shelf/tea/delete/")
    assert "is deleted" in text_of(page(staff_client, "/shelf/"), ".notice")
    page(staff_client, "/shelf/tea/", status=404)


# --- files


def test_files_are_given_without_a_script(alice_client: Client, hers: Collection) -> None:
    assert ".md" in one(page(alice_client, f"/shelf/{hers.slug}/"), "#files")["accept"]
    address = f"/shelf/{hers.slug}/files/"
    refused = posted(alice_client, address, 400, files=[SimpleUploadedFile("a.png", b"x")])
    assert "a.png" in text_of(refused, ".notice.is-error")
    posted(alice_client, address, files=[SimpleUploadedFile("tea.md", TEA)])
    document = Document.objects.create(collection=hers, path="tea.md", title="Tea")
    posted(alice_client, f"/documents/{document.pk}/delete/")
    assert not hers.files.exists()
    assert "No files yet" in text_of(page(alice_client, f"/shelf/{hers.slug}/"), "#state")


def test_a_collection_of_files_is_made_whole_or_not_at_all(alice_client: Client) -> None:
    picture = SimpleUploadedFile("a.png", b"x")
    refused = posted(alice_client, "/add/files/", 400, title="Notes", files=[picture])
    assert "Nothing was stored." in text_of(refused, ".notice.is-error")
    assert one(refused, "#title")["value"] == "Notes"
    assert "title-error" in str(posted(alice_client, "/add/files/", 400, title=""))
    assert not Collection.objects.exists()
    note = SimpleUploadedFile("tea.md", TEA)
    posted(alice_client, "/add/files/", title="Notes", content="# More", files=[note])
    made = Collection.objects.get()
    assert (made.category, made.visibility) == ("REFERENCES", "private")
    assert set(made.files.values_list("path", flat=True)) == {"tea.md", "Notes.md"}


# --- settings, and who may


def test_settings_say_what_is_wrong_and_keep_what_was_typed(
    alice_client: Client, hers: Collection
) -> None:
    address = f"/shelf/{hers.slug}/settings/"
    assert not page(alice_client, address).select("#visibility, #refresh_days")
    refused = posted(alice_client, address, 400, title="Other", title_no="many")
    assert one(refused, "#title")["value"] == "Other"
    assert text_of(refused, "#title_no-error")
    posted(alice_client, address, title="Other", category="CLASS", title_no="9")
    hers.refresh_from_db()
    assert (hers.title, hers.title_no) == ("Other", 9)
    assert posted(alice_client, address, 403, title="Other", visibility="everyone")


def test_staff_choose_the_current_version(staff_client: Client, passage: Passage) -> None:
    Collection.objects.create(
        slug="django-4", title="Django", title_no=2, family="django", is_current=False,
        visibility="everyone", source="dir:/srv/docs",
    )  # fmt: skip
    address = "/shelf/django-4/settings/"
    assert one(page(staff_client, address), "#refresh_days")
    posted(staff_client, address, title="Django", is_current="true", refresh_days="7")
    changed = Collection.objects.get(slug="django-4")
    assert (changed.is_current, changed.refresh_days) == (True, 7)
    assert not Collection.objects.get(slug="django").is_current


FORMS = [
    "/shelf/{slug}/settings/", "/shelf/{slug}/delete/", "/shelf/{slug}/refresh/",
    "/shelf/{slug}/retry/", "/shelf/{slug}/files/", "/runs/{run}/cancel/",
    "/documents/{document}/delete/",
]  # fmt: skip
PAGES = [
    "/shelf/{slug}/", "/shelf/{slug}/state/", "/shelf/{slug}/search/", "/shelf/{slug}/settings/",
    "/shelf/{slug}/delete/", "/runs/{run}/", "/documents/{document}/",
]  # fmt: skip


def test_only_who_may(client: Client, bob_client: Client, alice: User, hers: Collection) -> None:
    names = {
        "slug": hers.slug,
        "run": runs.request_run(hers, trigger=Run.Trigger.PERSON, user=alice).pk,
        "document": Document.objects.create(collection=hers, path="a.md").pk,
    }
    for address in (form.format(**names) for form in FORMS):
        assert "/accounts/login/" in client.post(address).headers["Location"]
        assert bob_client.post(address).status_code == 404
    for address in (each.format(**names) for each in PAGES):
        assert "/accounts/login/" in client.get(address).headers["Location"]
        assert bob_client.get(address).status_code == 404
    for address in ("/shelf/", "/add/source/", "/add/files/"):
        assert "/accounts/login/" in client.get(address).headers["Location"]
    assert bob_client.get("/add/source/").status_code == 403
    assert bob_client.post("/add/source/", {"source": "dir:/etc"}).status_code == 403
    Collection.objects.update(visibility="everyone")
    for address in (form.format(**names) for form in FORMS):
        assert bob_client.post(address).status_code == 403
    assert Collection.objects.get().runs.get().state == Run.State.WAITING


def test_nothing_read_is_not_brought_up_to_date(staff_client: Client) -> None:
    Collection.objects.create(
        slug="tea", title="Tea", title_no=1, visibility="everyone", source="dir:/tea",
        state="failed", error="4 of 4 pages could not be read", ingested_at=timezone.now(),
    )  # fmt: skip
    told = text_of(page(staff_client, "/shelf/tea/"), "#state")
    assert "It could not be read." in told
    assert "Brought up to date" not in told
    assert not page(staff_client, "/shelf/").select(".entry .fresh")
