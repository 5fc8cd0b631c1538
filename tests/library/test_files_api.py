"""Files that people give, and documents over HTTP: stored whole or not at all, read, replaced, deleted."""

from __future__ import annotations

import io
import tarfile
import unicodedata
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError, connection
from django.http import HttpResponse
from django.test import Client

from mundap.accounts.models import User
from mundap.library import services, uploads
from mundap.library.models import Collection, Document, Passage, Run, StoredFile
from mundap.library.runs import finish_if_read
from mundap.library.services import Label
from mundap.retrieval.indexing import index_lexical
from tests.library.reading_runs import read

pytestmark = pytest.mark.django_db
TEA = b"# Tea\n\nWater of 80 degrees.\n\n## Black\n\nBoiling water."


@pytest.fixture
def hers(alice: User) -> Collection:
    return services.make_reference(alice, Label(title="Her notes"))


def give(client: Client, collection: Collection, *files: tuple[str, bytes]) -> HttpResponse:
    sent = [SimpleUploadedFile(name, content) for name, content in files]
    return client.post(f"/api/v1/collections/{collection.slug}/files/", {"files": sent})


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def paths(collection: Collection) -> list[str]:
    return list(collection.files.values_list("path", flat=True))


def get(client: Client, path: str) -> dict[str, Any]:
    reply = client.get(f"/api/v1/{path}")
    assert reply.status_code == 200, reply.content
    return reply.json()


def test_a_file_from_the_upload_to_its_deletion(alice_client: Client, hers: Collection) -> None:
    reply = give(alice_client, hers, ("tea.md", TEA), ("milk.txt", b"Never before the water."))
    assert reply.status_code == 202, reply.content
    assert reply.json()["paths"] == ["tea.md", "milk.txt"]
    assert reply.json()["run"]["trigger"] == "upload"
    read(hers)
    index_lexical(hers)
    found = get(alice_client, f"collections/{hers.slug}/documents/?q=TEA")["results"]
    assert [(one["title"], one["state"], one["size_bytes"]) for one in found] == [
        ("Tea", "ready", len(TEA))
    ]
    document = found[0]["id"]
    shown = get(alice_client, f"documents/{document}/?limit=1")
    assert (shown["collection"], shown["passages"][0]["headings"]) == (hers.slug, ["Tea"])
    assert (shown["passages"][0]["has_words"], shown["passages"][0]["has_vector"]) == (True, False)
    rest = alice_client.get(shown["next"]).json()
    assert [one["text"] for one in rest["passages"]] == ["Boiling water."]
    assert rest["next"] is None

    # The same name again replaces it; what says the same keeps its passages.
    kept = Passage.objects.get(text="Boiling water.")
    give(alice_client, hers, ("tea.md", TEA.replace(b"80", b"70")))
    read(hers)
    assert Passage.objects.filter(pk=kept.pk).exists()
    assert "70 degrees" in Document.objects.get(pk=document).text

    assert alice_client.delete(f"/api/v1/documents/{document}/").status_code == 204
    assert alice_client.get(f"/api/v1/documents/{document}/").status_code == 404
    assert paths(hers) == ["milk.txt"]
    read(hers)
    assert alice_client.delete(f"/api/v1/documents/{Document.objects.get().pk}/").status_code == 204
    shown = get(alice_client, f"collections/{hers.slug}/")
    assert (shown["state"], shown["run"], shown["documents"]) == ("empty", None, 0)


def test_an_archive_is_the_folder_that_it_is(alice_client: Client, hers: Collection) -> None:
    content = zipped({"guide/a.md": TEA, "guide/b/c.html": b"<p>C</p>", "guide/d.png": b"PNG"})
    assert give(alice_client, hers, ("guide.zip", content)).status_code == 202
    assert paths(hers) == ["a.md", "b/c.html"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("..\\..\\etc\\passwd.txt", "passwd.txt"),
        ("a\tb\u202e.md", "a b .md"),
        (unicodedata.normalize("NFD", "강의.md"), "강의.md"),
        ("x" * 300 + ".md", "x" * 197 + ".md"),
        (".hidden.md", "hidden.md"),
    ],
)
def test_names_are_cleaned(name: str, kept: str) -> None:
    assert uploads.clean_name(name) == kept


def test_what_is_refused_leaves_nothing(alice_client: Client, hers: Collection, settings) -> None:
    settings.UPLOAD_MAX_MB, settings.UPLOAD_QUOTA_MB = 1, 3
    large = b"x" * (uploads.MEGABYTE + 1)
    bomb = zipped({f"{number}.md": b"\0" * uploads.MEGABYTE for number in range(5)})
    climbing = zipped({"../out.md": TEA})
    cases = {
        413: [("large.md", large), ("large.zip", zipped({"a.md": large}))],
        400: [("picture.png", b"PNG"), ("none", b"x"), ("broken.zip", b"PK\x03\x04rest")],
    }
    cases[400] += [
        ("climbing.zip", climbing),
        ("bomb.zip", bomb),
        ("no.zip", zipped({"a.png": b""})),
    ]
    for status, files in cases.items():
        for file in files:
            reply = give(alice_client, hers, ("good.md", TEA), file)
            assert reply.status_code == status, (file[0], reply.content)
            assert reply.json()["error"]["message"]
    assert ".md" in give(alice_client, hers, ("a.png", b"")).json()["error"]["message"]
    assert not StoredFile.objects.exists()
    assert not hers.runs.exists()


def test_a_link_out_of_a_tar_is_refused(alice_client: Client, hers: Collection) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        link = tarfile.TarInfo("a.md")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    reply = give(alice_client, hers, ("a.tar.gz", out.getvalue()))
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "source_error")


@pytest.mark.parametrize(
    "name", ["/".join(["deep" * 50] * 6) + ".md", "tea\udcff.md", "tea\x01.md"]
)
def test_odd_names_in_an_archive_do_not_stop_the_others(
    alice_client: Client, hers: Collection, name: str
) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", errors="surrogateescape") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(TEA)
        archive.addfile(member, io.BytesIO(TEA))
        member.name = "other.md"
        archive.addfile(member, io.BytesIO(TEA))
    reply = give(alice_client, hers, ("a.tar", out.getvalue()))
    assert reply.status_code == 202, reply.content
    assert "other.md" in paths(hers)


def test_nobody_keeps_more_than_their_share(
    alice: User, alice_client: Client, hers: Collection, settings
) -> None:
    settings.UPLOAD_QUOTA_MB = 1
    settings.UPLOAD_MAX_FILES = 2
    half = b"x" * 600_000
    assert give(alice_client, hers, ("a.md", half)).status_code == 202
    assert give(alice_client, hers, ("a.md", half)).status_code == 202  # replaced, not added
    assert give(alice_client, hers, ("b.md", half)).status_code == 413
    assert give(alice_client, hers, ("b.md", TEA), ("c.md", TEA)).status_code == 413
    assert paths(hers) == ["a.md"]
    assert uploads.room_of(alice).used == 600_000


@pytest.mark.django_db(transaction=True)
def test_a_run_ends_while_its_user_gives_more(alice: User, hers: Collection) -> None:
    running = Run.objects.create(
        collection=hers,
        trigger=Run.Trigger.UPLOAD,
        requested_by=alice,
        state=Run.State.READING,
        is_wanted_again=True,
    )

    def finish() -> bool:
        try:
            return finish_if_read(running)
        finally:
            connection.close()

    class Slow(SimpleUploadedFile):
        """A file of which the rest comes when the run has ended."""

        def read(self, *size: int) -> bytes:
            is_over.append(pool.submit(finish).result(timeout=10))
            return super().read(*size)

    is_over: list[bool] = []
    with ThreadPoolExecutor(1) as pool:
        uploads.store_files(alice, hers, [Slow("tea.md", TEA)])
    assert is_over == [True]
    assert hers.runs.filter(state=Run.State.WAITING).count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_document_goes_with_its_file_or_stays_with_it(alice: User, hers: Collection) -> None:
    uploads.store_files(alice, hers, [SimpleUploadedFile("tea.md", TEA)])
    hers.runs.all().delete()
    document = Document.objects.create(collection=hers, path="tea.md")
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the disk is full'; END $$;"
            "CREATE TRIGGER refuse BEFORE DELETE ON library_document EXECUTE FUNCTION refuse()"
        )
        try:
            with pytest.raises(DatabaseError):
                uploads.delete_document(alice, document)
            assert (paths(hers), hers.runs.count()) == (["tea.md"], 0)
        finally:
            cursor.execute("DROP FUNCTION refuse CASCADE")
    uploads.delete_document(alice, document)
    assert paths(hers) == []


def test_files_belong_to_collections_of_files(alice_client: Client, hers: Collection) -> None:
    Collection.objects.update(source="dir:/srv/docs")
    document = Document.objects.create(collection=hers, path="a.md")
    assert give(alice_client, hers, ("a.md", TEA)).status_code == 409
    assert alice_client.delete(f"/api/v1/documents/{document.pk}/").status_code == 409
    assert Document.objects.exists()


def test_no_files_at_all(alice_client: Client, hers: Collection) -> None:
    path = f"/api/v1/collections/{hers.slug}/files/"
    assert alice_client.post(path, {"files": ""}).status_code == 400
    assert alice_client.post(path, "{}", content_type="application/json").status_code == 415


def test_documents_are_listed_in_pages(alice_client: Client, hers: Collection) -> None:
    for name in ("a", "b", "c"):
        Document.objects.create(collection=hers, path=f"{name}.md", title=f"Page {name.upper()}")
    first = get(alice_client, f"collections/{hers.slug}/documents/?limit=2")
    assert [one["path"] for one in first["results"]] == ["a.md", "b.md"]
    rest = alice_client.get(first["next"]).json()
    assert ([one["path"] for one in rest["results"]], rest["next"]) == (["c.md"], None)
    found = get(alice_client, f"collections/{hers.slug}/documents/?q=page%20b")["results"]
    assert [one["path"] for one in found] == ["b.md"]
    assert get(alice_client, f"collections/{hers.slug}/documents/?q=%25&limit=x")["results"] == []


def test_files_are_for_who_may_change(bob_client: Client, client: Client, hers: Collection) -> None:
    document = Document.objects.create(collection=hers, path="a.md")
    address = f"/api/v1/documents/{document.pk}/"
    listed = f"/api/v1/collections/{hers.slug}/documents/"
    assert give(client, hers, ("a.md", TEA)).status_code == 401
    assert [client.get(address).status_code, client.delete(address).status_code] == [401, 401]
    assert client.get(listed).status_code == 401
    assert give(bob_client, hers, ("a.md", TEA)).status_code == 404
    assert [bob_client.get(address).status_code, bob_client.delete(address).status_code] == [
        404,
        404,
    ]
    assert bob_client.get(listed).status_code == 404
    Collection.objects.update(visibility="everyone")
    assert bob_client.get(address).status_code == bob_client.get(listed).status_code == 200
    assert give(bob_client, hers, ("a.md", TEA)).status_code == 403
    assert bob_client.delete(address).status_code == 403
    assert Document.objects.exists()


def test_over_the_limit(alice_client: Client, hers: Collection, settings) -> None:
    document = Document.objects.create(collection=hers, path="a.md")
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {
        "DEFAULT_THROTTLE_RATES": {"user": "1/h", "address": "1/h", "turns": "1/h"}
    }
    address = f"/api/v1/documents/{document.pk}/"
    assert alice_client.get(address).status_code == 200
    assert alice_client.get(address).status_code == 429
    assert alice_client.delete(address).status_code == 429
    assert give(alice_client, hers, ("a.md", TEA)).status_code == 429
    assert alice_client.get(f"/api/v1/collections/{hers.slug}/documents/").status_code == 429
