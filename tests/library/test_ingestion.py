"""A collection is brought up to date with its source: again and again, by one run at a time, and past broken pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from mundap.accounts.models import User
from mundap.errors import Conflict, IngestionRunning, ServiceUnavailable, SourceError
from mundap.library import work
from mundap.library.ingestion import ingest, ingest_source
from mundap.library.models import Collection, Document, Embedding, Passage, RunPage
from mundap.library.shelving import ShelfMark
from mundap.retrieval.indexing import index_lexical
from tests.library.shelf import DATA, make_tar, write_pages

pytestmark = pytest.mark.django_db

PAGES = {
    "tea.md": "# Tea\n\nGreen or black.\n\n## Steeping\n\nTwo minutes.\n\n## Cups\n\nSmall ones.\n",
    "milk.md": "# Milk\n\nA little.\n",
    "guide/sugar.md": "# Sugar\n\nNone.\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_pages(tmp_path / "handbook", PAGES)


@pytest.fixture
def shelved(folder: Path) -> Collection:
    collection, _ = ingest_source(f"dir:{folder}", ShelfMark(slug="handbook"))
    return collection


def again(folder: Path, **mark: object):
    return ingest_source(f"dir:{folder}", ShelfMark(slug="handbook", **mark))[1]


def texts(collection: Collection, path: str) -> dict[str, Passage]:
    found = Passage.objects.filter(collection=collection, document__path=path)
    return {passage.text: passage for passage in found}


class TestFirstRun:
    def test_pages_become_documents_and_passages(self, folder):
        seen: list[tuple[int, int, str]] = []
        collection, done = ingest_source(
            f"dir:{folder}",
            ShelfMark(
                slug="tea", title="Tea book", category="TEAM", base_url="https://tea.example/"
            ),
            progress=lambda *step: seen.append(step),
        )
        assert (done.added, done.changed, done.deleted, done.unchanged, done.failed) == (
            3,
            0,
            0,
            0,
            0,
        )
        assert done.passages == 5
        assert seen[0] == (0, 3, "")
        assert seen[-1] == (3, 3, "tea.md")
        collection.refresh_from_db()
        assert (collection.state, collection.error) == (Collection.State.READY, "")
        assert (collection.documents_done, collection.documents_total) == (3, 3)
        assert (collection.title, collection.category, collection.title_no) == (
            "Tea book",
            "TEAM",
            1,
        )
        assert collection.visibility == Collection.Visibility.EVERYONE
        assert collection.ingested_at
        document = collection.documents.get(path="guide/sugar.md")
        assert (document.title, document.url) == ("Sugar", "https://tea.example/guide/sugar.md")

    def test_passages_point_into_their_document_and_wait_for_indexing(self, shelved):
        tea = shelved.documents.get(path="tea.md")
        passages = list(tea.passages.all())
        assert [passage.headings for passage in passages] == [
            ["Tea"], ["Tea", "Steeping"], ["Tea", "Cups"]
        ]  # fmt: skip
        assert [passage.anchor for passage in passages] == ["tea", "steeping", "cups"]
        for passage in passages:
            assert tea.text[passage.start : passage.end] == passage.text
            assert passage.lexical is None

    def test_the_next_number_of_the_category_is_taken(self, folder, shelved):
        other, _ = ingest_source(f"dir:{folder}", ShelfMark(slug="second"))
        assert (shelved.title_no, other.title_no) == (1, 2)
        with pytest.raises(Conflict, match="--title-no"):
            ingest_source(f"dir:{folder}", ShelfMark(slug="third", title_no=2))
        assert not Collection.objects.filter(slug="third").exists()

    def test_private_documents_belong_to_somebody(self, folder, alice: User):
        mark = ShelfMark(slug="mine", visibility="private", owner=alice)
        collection, _ = ingest_source(f"dir:{folder}", mark)
        assert (collection.visibility, collection.owner) == ("private", alice)

    def test_a_source_that_cannot_be_opened_makes_nothing(self, tmp_path):
        with pytest.raises(SourceError):
            ingest_source(f"dir:{tmp_path / 'nowhere'}", ShelfMark(slug="nothing"))
        assert not Collection.objects.exists()

    def test_pages_are_read_alike_in_one_task_or_in_many(self, folder, shelved, monkeypatch):
        monkeypatch.setattr(work, "PAGES_A_TASK", 1)
        collection, done = ingest_source(f"dir:{folder}", ShelfMark(slug="again"))
        assert done.added == 3
        fields = ("document__path", "position", "headings", "anchor", "text", "start", "end")
        order = ("document__path", "position")
        read = [
            list(each.passages.order_by(*order).values_list(*fields))
            for each in (collection, shelved)
        ]
        assert read[0] == read[1]

    def test_an_archive(self, tmp_path):
        file = make_tar(
            tmp_path / "tea.tar.gz", {f"tea/{path}": text for path, text in PAGES.items()}
        )
        collection, done = ingest_source(f"dir:{file}", ShelfMark(slug="archive"))
        assert done.added == 3
        assert collection.documents.filter(path="guide/sugar.md").exists()

    def test_a_sphinx_project(self):
        collection, done = ingest_source(
            f"dir:{DATA / 'sphinx'}", ShelfMark(base_url="https://teapot.example/en/")
        )
        assert (collection.slug, collection.title, collection.version) == (
            "teapot",
            "Teapot",
            "2.1",
        )
        assert done.failed == 0
        boil = collection.passages.get(anchor="teapot.kettle.Kettle.boil")
        assert boil.document.url == "https://teapot.example/en/guide/kettle.html"
        assert boil.document.title == "How to brew"

    def test_links_lead_where_the_pages_are_published(self, tmp_path):
        pages = {
            "conf.py": "project = 'Tea'",
            "a.rst": "A\n=\n\nSee :doc:`the other page <b>` and `more <c.html>`_.\n",
            "b.rst": "B\n=\n\nText.\n",
        }
        folder = write_pages(tmp_path / "docs", pages)
        mark = ShelfMark(slug="tea", base_url="https://tea.example/en/")
        collection, _ = ingest_source(f"dir:{folder}", mark)
        passage = collection.passages.get(document__path="a.rst")
        assert [(passage.text[start:end], to) for start, end, to in passage.links] == [
            ("the other page", "https://tea.example/en/b.html"),
            ("more", "https://tea.example/en/c.html"),
        ]


class TestAgain:
    def test_unchanged_pages_are_left_alone(self, folder, shelved):
        before = list(Passage.objects.order_by("pk").values_list("pk", flat=True))
        done = again(folder)
        assert (done.unchanged, done.added, done.changed, done.deleted) == (3, 0, 0, 0)
        assert list(Passage.objects.order_by("pk").values_list("pk", flat=True)) == before

    def test_a_changed_page_replaces_only_its_changed_passages(self, folder, shelved):
        index_lexical(shelved)
        before = texts(shelved, "tea.md")
        kept = before["Small ones."]
        Embedding.objects.create(
            passage=kept, collection=shelved, model="test", vector=[1.0, 0.0, 0.0]
        )
        text = PAGES["tea.md"].replace("Two minutes.", "Three minutes, or four.")
        write_pages(folder, {"tea.md": text})
        done = again(folder)
        assert (done.changed, done.unchanged) == (1, 2)
        after = texts(shelved, "tea.md")
        assert after["Small ones."].pk == kept.pk, "citations stay"
        assert after["Small ones."].lexical is not None, "and so does its index entry"
        assert after["Small ones."].embeddings.count() == 1
        assert after["Small ones."].start == kept.start + len("Three minutes, or four.") - len(
            "Two minutes."
        )
        assert "Two minutes." not in after
        assert after["Three minutes, or four."].lexical is None
        document = shelved.documents.get(path="tea.md")
        assert [document.text[p.start : p.end] for p in document.passages.all()] == list(
            document.passages.values_list("text", flat=True)
        )

    def test_the_same_words_under_another_heading_are_another_passage(self, folder, shelved):
        before = texts(shelved, "tea.md")["Two minutes."]
        write_pages(folder, {"tea.md": PAGES["tea.md"].replace("## Steeping", "## Brewing")})
        again(folder)
        after = texts(shelved, "tea.md")["Two minutes."]
        assert after.pk != before.pk
        assert after.headings == ["Tea", "Brewing"]

    def test_deleted_pages_go_with_all_that_hangs_on_them(self, folder, shelved):
        passage = Passage.objects.get(document__path="milk.md")
        Embedding.objects.create(passage=passage, collection=shelved, model="test", vector=[1.0])
        (folder / "milk.md").unlink()
        done = again(folder)
        assert (done.deleted, done.unchanged) == (1, 2)
        assert not Document.objects.filter(path="milk.md").exists()
        assert not Embedding.objects.exists()

    def test_what_a_page_shows_of_another_is_brought_up_to_date(self, tmp_path):
        pages = {
            "conf.py": "project = 'Tea'",
            "a.rst": "A\n=\n\nSee :ref:`the-place` and :doc:`b`.\n",
            "b.rst": "B\n=\n\n.. _the-place:\n\nOld name\n--------\n\nText.\n",
        }
        folder = write_pages(tmp_path / "docs", pages)
        again(folder)
        write_pages(folder, {"b.rst": pages["b.rst"].replace("Old name\n-", "New name\n-")})
        done = again(folder)
        assert done.changed == 2
        assert Passage.objects.filter(document__path="a.rst", text="See New name and B.").exists()

    def test_a_new_address_is_written_on_all_pages(self, folder, shelved):
        done = again(folder, base_url="https://tea.example/v2/")
        assert done.unchanged == 3
        document = shelved.documents.get(path="milk.md")
        assert document.url == "https://tea.example/v2/milk.md"

    def test_what_is_given_is_changed_and_the_rest_stays(self, folder, shelved):
        again(folder, title="New title")
        again(folder)
        shelved.refresh_from_db()
        assert (shelved.title, shelved.title_no) == ("New title", 1)

    def test_a_collection_reads_its_own_source_again(self, folder, shelved):
        write_pages(folder, {"new.md": "# New\n\nPage.\n"})
        assert ingest(shelved).added == 1


class TestTrouble:
    def test_a_broken_page_does_not_stop_the_others(self, folder):
        (folder / "broken.md").write_bytes(bytes(range(256)) * 40)
        collection, done = ingest_source(f"dir:{folder}", ShelfMark(slug="handbook"))
        assert (done.added, done.failed) == (3, 1)
        broken = collection.documents.get(path="broken.md")
        assert broken.state == Document.State.FAILED
        assert broken.error
        assert collection.state == Collection.State.READY
        assert "broken.md" in collection.error
        write_pages(folder, {"broken.md": "# Mended\n\nWords.\n"})
        done = again(folder)
        assert (done.changed, done.failed) == (1, 0)
        collection.refresh_from_db()
        assert collection.error == ""

    def test_a_page_that_breaks_later_loses_its_passages(self, folder, shelved):
        (folder / "milk.md").write_bytes(bytes(range(256)) * 40)
        done = again(folder)
        assert done.failed == 1
        assert not Passage.objects.filter(document__path="milk.md").exists()
        assert again(folder).unchanged == 3, "it is not tried again until it changes"

    def test_nothing_but_broken_pages_is_a_failure(self, tmp_path):
        (tmp_path / "a.md").write_bytes(bytes(range(256)) * 40)
        collection, done = ingest_source(f"dir:{tmp_path}", ShelfMark(slug="broken"))
        assert (done.failed, done.passages) == (1, 0)
        assert collection.state == Collection.State.FAILED
        assert "a.md" in collection.error

    def test_a_source_that_has_gone_leaves_what_there_is(self, folder, shelved, tmp_path):
        folder.rename(tmp_path / "moved")
        with pytest.raises(SourceError, match="There is no folder"):
            ingest(shelved)
        shelved.refresh_from_db()
        assert shelved.state == Collection.State.READY
        assert "There is no folder" in shelved.error
        assert shelved.passages.count() == 5

    def test_a_collection_that_never_had_pages_fails_with_the_reason(self, tmp_path):
        collection = Collection.objects.create(
            slug="empty", title="Empty", title_no=1, visibility="everyone", source=f"dir:{tmp_path}"
        )
        with pytest.raises(SourceError):
            ingest(collection)
        collection.refresh_from_db()
        assert collection.state == Collection.State.FAILED
        assert "no pages that can be read" in collection.error

    def test_two_runs_at_once(self, folder, shelved):
        write_pages(folder, {"tea.md": "# Tea\n\nOther.\n"})
        met: list[str] = []

        def try_too(_done: int, _total: int, _path: str) -> None:
            if not met:
                with pytest.raises(IngestionRunning) as refused:
                    ingest(shelved)
                met.append(refused.value.message)

        ingest(shelved, progress=try_too)
        assert "being read by another process" in met[0]
        assert ingest(shelved).unchanged == 3

    def test_a_run_that_dies_goes_on(self, folder):
        def die(done: int, _total: int, _path: str) -> None:
            if done == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            ingest_source(f"dir:{folder}", ShelfMark(slug="handbook"), progress=die)
        collection = Collection.objects.get(slug="handbook")
        assert collection.state == Collection.State.INGESTING
        assert collection.documents.count() == 2
        done = again(folder)
        assert (done.unchanged, done.added) == (2, 1)

    @pytest.fixture
    def full_disk(self) -> Iterator[None]:
        """The database says what it says when its disk is full, at the third page."""
        with connection.cursor() as cursor:
            cursor.execute(
                """
                CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    IF NEW.text = 'None.' THEN
                        RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full';
                    END IF;
                    RETURN NEW;
                END $$;
                CREATE TRIGGER full_disk BEFORE INSERT ON library_passage
                    FOR EACH ROW EXECUTE FUNCTION full_disk();
                """
            )
        yield
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER full_disk ON library_passage; DROP FUNCTION full_disk")

    @pytest.mark.django_db(transaction=True)
    def test_a_full_disk(self, folder, full_disk):
        with pytest.raises(ServiceUnavailable, match="disk is full"):
            ingest_source(f"dir:{folder}", ShelfMark(slug="handbook"))
        assert not Document.objects.filter(path="guide/sugar.md").exists(), (
            "no page without passages"
        )

    def test_a_page_that_cannot_be_stored_does_not_stop_the_others(self, folder):
        with connection.cursor() as cursor:
            cursor.execute(
                "ALTER TABLE library_document ADD CONSTRAINT bug CHECK (path <> 'milk.md') NOT VALID"
            )
        collection, done = ingest_source(f"dir:{folder}", ShelfMark(slug="buggy"))
        assert (done.added, done.passages) == (2, 4)
        assert collection.state == Collection.State.READY
        assert "milk.md" in collection.error
        page = RunPage.objects.get(run__collection=collection, path="milk.md")
        assert page.state == RunPage.State.FAILED
        assert "bug" in page.error

    @pytest.mark.django_db(transaction=True)
    def test_it_goes_on_when_there_is_room(self, folder):
        done = again(folder)
        assert (done.added, done.passages) == (3, 5)


class TestVersions:
    def test_versions_stand_side_by_side_and_one_is_current(self, folder):
        def shelve(**mark: object) -> Collection:
            return ingest_source(f"dir:{folder}", ShelfMark(**mark))[0]

        new = shelve(slug="tea", family="tea")
        old = shelve(slug="tea-old", family="tea")
        assert (new.is_current, old.is_current) == (True, False)
        assert shelve(slug="tea-old", is_current=True).is_current
        new.refresh_from_db()
        assert not new.is_current
        assert (new.passages.count(), old.passages.count()) == (5, 5)

    def test_a_version_is_named_after_its_family(self):
        mark = ShelfMark(family="pots", refresh_days=7)
        collection, _ = ingest_source(f"dir:{DATA / 'sphinx'}", mark)
        assert (collection.slug, collection.family) == ("pots-2-1", "pots")
        assert (collection.version, collection.refresh_days) == ("2.1", 7)
