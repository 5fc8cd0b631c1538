"""A run's life: asked for, cancelled, taken over from silent workers, repeated when due; pages of the web over time."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from mundap.errors import Conflict, IngestionRunning
from mundap.library import fetching, reading_pool, runs
from mundap.library.deleting import cancel_runs, delete_collection
from mundap.library.fetching import PageFetcher
from mundap.library.ingestion import ingest, ingest_source
from mundap.library.listing import context_folder, open_run
from mundap.library.models import Collection, Document, Passage, Run, RunPage, Worker
from mundap.library.reading import SourceContext
from mundap.library.shelving import ShelfMark
from mundap.library.work import reader
from mundap.library.workers import at_work
from tests.library.crawling.server import Site, page, serving
from tests.library.shelf import write_pages

pytestmark = pytest.mark.django_db
PERSON = Run.Trigger.PERSON


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pages = {f"{name}.md": f"# {name}\n\nAbout {name}.\n" for name in ("cup", "milk", "pot", "tea")}
    return write_pages(tmp_path / "handbook", pages)


@pytest.fixture
def waiting(folder: Path) -> Collection:
    """A collection that has a source, and was never read."""
    return Collection.objects.create(
        slug="handbook",
        title="Handbook",
        category="TEAM",
        title_no=1,
        visibility="everyone",
        source=f"dir:{folder}",
    )


def worker(name: str = "one", *, silent: bool = False) -> Worker:
    seen_at = timezone.now() - timedelta(minutes=5 if silent else 0)
    return Worker.objects.create(name=name, is_command=False, seen_at=seen_at)


def opened(collection: Collection, by: Worker) -> Run:
    """A run of the collection, opened by the worker."""
    runs.request_run(collection, trigger=PERSON)
    run = runs.claim_run(by)
    assert run is not None
    open_run(run)
    return run


def state(thing: Run | Collection | Document) -> str:
    thing.refresh_from_db()
    return thing.state


class TestAsking:
    def test_a_collection_has_one_unfinished_run(self, waiting, alice):
        run = runs.request_run(waiting, trigger=PERSON, user=alice)
        assert (run.state, run.requested_by) == (Run.State.WAITING, alice)
        with pytest.raises(IngestionRunning, match="Handbook"):
            runs.request_run(waiting, trigger=PERSON)
        with pytest.raises(IngestionRunning):
            ingest(waiting)

    def test_what_changes_during_a_run_is_read_by_another(self, waiting, folder):
        one = worker()
        run = opened(waiting, one)
        assert runs.request_another_run(waiting, trigger=Run.Trigger.UPLOAD) == run
        with reader(one) as pages:
            pages.read_all()
        assert state(run) == Run.State.DONE
        following = runs.claim_run(one)
        assert following is not None
        assert following.collection == waiting
        assert runs.request_another_run(waiting, trigger=Run.Trigger.UPLOAD) == following

    @pytest.mark.parametrize(
        ("days", "read_days_ago", "failed_minutes_ago", "is_due"),
        [
            (0, 900, None, False),
            (7, 6, None, False),
            (7, 8, None, True),
            (7, 8, 10, False),
            (7, 8, 90, True),
            (7, None, 90, True),
        ],
    )
    def test_due(self, waiting, days, read_days_ago, failed_minutes_ago, is_due):
        now = timezone.now()
        waiting.state = Collection.State.READY
        waiting.refresh_days = days
        waiting.ingested_at = now - timedelta(days=read_days_ago) if read_days_ago else None
        waiting.save()
        if failed_minutes_ago:
            failed = Run.objects.create(
                collection=waiting, trigger=PERSON, state=Run.State.FAILED, ended_at=now
            )
            created_at = now - timedelta(minutes=failed_minutes_ago)
            Run.objects.filter(pk=failed.pk).update(created_at=created_at)
        for _tick in range(2):
            runs.request_due_runs()
        asked_for = Run.objects.filter(state=Run.State.WAITING, trigger=Run.Trigger.SCHEDULE)
        assert asked_for.count() == is_due

    def test_what_was_never_read_is_due(self, waiting):
        runs.request_due_runs()
        assert Run.objects.get().collection == waiting

    def test_failed_pages_are_read_anew(self, waiting, folder):
        (folder / "bad.md").write_bytes(bytes(range(256)) * 40)
        ingest(waiting)
        assert ingest(waiting).unchanged == 5
        run = runs.retry_failed(waiting)
        runs.cancel_run(run)
        done = ingest(waiting)
        assert (done.unchanged, done.failed) == (4, 1)
        assert run.collection.runs.first().counts["failed"] == 1


class TestEnding:
    def test_a_cancelled_run_keeps_what_is_stored_and_the_next_one_goes_on(self, waiting, folder):
        def cancel(done: int, _total: int, _path: str) -> None:
            if done == 2:
                runs.cancel_run(waiting.runs.get())

        with pytest.raises(Conflict, match="cancelled"):
            ingest(waiting, progress=cancel)
        assert waiting.documents.count() == 2
        assert state(waiting) == Collection.State.READY
        run = waiting.runs.get()
        assert (run.state, runs.count_pages(run)) == (
            Run.State.CANCELLED,
            {"added": 2, "reading": 2},
        )
        runs.cancel_run(run)
        assert ingest(waiting).unchanged == 2

    def test_a_run_that_is_cancelled_while_its_source_is_opened_stays_cancelled(self, waiting):
        runs.request_run(waiting, trigger=PERSON)
        run = runs.claim_run(worker())
        runs.cancel_run(Run.objects.get(pk=run.pk))
        open_run(run)
        assert state(run) == Run.State.CANCELLED
        assert state(waiting) == Collection.State.FAILED
        assert not run.pages.exists()

    def test_what_was_wished_for_meanwhile_follows_a_cancelled_run(self, waiting):
        run = runs.request_run(waiting, trigger=PERSON)
        assert runs.request_another_run(waiting, trigger=Run.Trigger.UPLOAD) == run
        runs.cancel_run(run)
        (following,) = waiting.runs.filter(state=Run.State.WAITING)
        assert not following.is_wanted_again
        runs.cancel_run(following)
        assert not waiting.runs.filter(state__in=Run.UNFINISHED).exists()

    def test_nothing_follows_when_the_collection_goes(self, waiting):
        runs.request_run(waiting, trigger=PERSON)
        runs.request_another_run(waiting, trigger=Run.Trigger.UPLOAD)
        cancel_runs(waiting)
        assert not waiting.runs.filter(state__in=Run.UNFINISHED).exists()

    def test_only_the_last_run_keeps_its_pages(self, waiting):
        for _time in range(3):
            ingest(waiting)
        assert RunPage.objects.values("run").distinct().count() == 1
        assert [run.counts for run in waiting.runs.all()] == [
            {"unchanged": 4, "gone": 0},
            {"unchanged": 4, "gone": 0},
            {"added": 4, "gone": 0},
        ]
        assert not RunPage.objects.exclude(content=None).exists()

    def test_a_page_that_takes_too_long_does_not_stop_the_rest(self, waiting, folder, monkeypatch):
        monkeypatch.setattr(reading_pool, "PAGE_SECONDS", 2.0)
        (folder / "slow.md").write_text("# Slow\n\n" + "* [a](b) *c* `d`\n" * 400_000)
        done = ingest(waiting)
        assert (done.added, done.failed) == (4, 1)
        slow = waiting.documents.get(path="slow.md")
        assert "longer than 2 seconds" in slow.error
        (folder / "slow.md").write_text("# Slow\n\nNo more.\n")
        assert ingest(waiting).failed == 0


class TestSilentWorkers:
    def test_what_a_silent_worker_was_to_open_is_opened_by_another(self, waiting):
        runs.request_run(waiting, trigger=PERSON)
        run = runs.claim_run(worker(silent=True))
        other = worker("other")
        assert runs.claim_run(other) == run
        assert runs.claim_run(worker("third")) is None, "the other one is heard of"

    def test_one_that_opens_it_late_leaves_it_to_the_other(self, waiting):
        runs.request_run(waiting, trigger=PERSON)
        late = runs.claim_run(worker(silent=True))
        other = runs.claim_run(worker("other"))
        open_run(other)
        open_run(late)
        assert state(other) == Run.State.READING
        assert other.pages.count() == 4

    def test_a_source_that_ends_its_workers_is_given_up(self, waiting):
        run = runs.request_run(waiting, trigger=PERSON)
        for _attempt in range(runs.OPEN_ATTEMPTS):
            assert runs.claim_run(worker(silent=True)) == run
        assert runs.claim_run(worker()) is None
        assert state(run) == Run.State.FAILED
        assert state(waiting) == Collection.State.FAILED
        assert "ended" in waiting.error

    def test_its_pages_are_read_by_another(self, waiting):
        silent, other = worker(silent=True), worker("other")
        run = opened(waiting, silent)
        assert len(runs.claim_pages(silent, run=None, most=3)) == 3
        runs.give_back_left()
        with reader(other) as pages:
            assert pages.read_all()
        assert state(run) == Run.State.DONE
        assert run.counts == {"added": 4, "gone": 0}

    def test_a_page_that_ends_its_workers_is_given_up(self, waiting):
        run = opened(waiting, worker())
        for _attempt in range(runs.READ_ATTEMPTS):
            claimed = runs.claim_pages(worker(silent=True), run=None, most=1)
            assert [each.path for each in claimed] == ["cup.md"]
            runs.give_back_left()
        with reader(worker("other")) as pages:
            pages.read_all()
        assert state(run) == Run.State.DONE
        assert run.counts == {"added": 3, "failed": 1, "gone": 0}
        assert "ended over it" in run.pages.get(path="cup.md").error

    def test_pages_that_are_only_looked_at_do_not_count_as_begun(self, waiting, tmp_path):
        one = worker()
        first = opened(waiting, one)
        RunPage.objects.filter(run=first).exclude(path="cup.md").delete()
        pages = write_pages(tmp_path / "other", {"pan.md": "# Pan\n\nAbout pans.\n"})
        second = opened(
            Collection.objects.create(
                slug="other",
                category="TEAM",
                title_no=2,
                visibility="everyone",
                source=f"dir:{pages}",
            ),
            one,
        )
        for _time in range(runs.READ_ATTEMPTS):
            assert [page.path for page in runs.claim_pages(one, run=None, most=12)] == ["cup.md"]
            first.pages.update(state=RunPage.State.WAITING, worker=None)  # as its host wants it
        assert second.pages.get().state == RunPage.State.WAITING
        assert second.pages.get().attempts == 0

    def test_one_whose_machine_slept_goes_on_though_another_began_meanwhile(self, waiting):
        slept = worker(silent=True)
        with at_work(is_command=False):
            run = opened(waiting, worker("other"))
        assert Worker.objects.filter(pk=slept.pk).exists(), "or it could claim nothing any more"
        with reader(slept) as pages:
            assert pages.read_all()
        assert state(run) == Run.State.DONE

    def test_one_that_comes_back_late_stores_nothing_twice(self, waiting):
        late, other = worker(), worker("other")
        run = opened(waiting, late)

        def take_over(done: int, _total: int, _path: str) -> None:
            if done == 1:
                Worker.objects.filter(pk=late.pk).update(
                    seen_at=timezone.now() - timedelta(hours=1)
                )
                runs.give_back_left()
                with reader(other) as pages:
                    pages.read_all()

        with reader(late, progress=take_over) as pages:
            pages.read_all()
        assert state(run) == Run.State.DONE
        assert run.counts == {"added": 4, "gone": 0}
        assert Passage.objects.count() == waiting.documents.count() == 4

    def test_a_run_that_a_command_left_is_given_up_by_the_next_command(self, waiting):
        def die(done: int, _total: int, _path: str) -> None:
            if done == 1:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            ingest(waiting, progress=die)
        left = waiting.runs.get()
        assert left.state == Run.State.READING
        with at_work(is_command=False), pytest.raises(IngestionRunning):
            ingest(waiting)  # a worker is there to go on with it
        assert ingest(waiting).added == 3
        assert state(left) == Run.State.CANCELLED


@pytest.fixture
def site(settings) -> Site:
    settings.CRAWL_OWN_HOSTS = ["127.0.0.1"]
    settings.CRAWL_DELAY_SECONDS = 0
    with serving() as server:
        for name in ("tea", "milk"):
            server.add(f"/{name}.html", page(f"<h1>{name}</h1><p>About {name}.</p>"), ETag=name)
        yield server


def sitemap(site: Site, *names: str) -> str:
    urls = "".join(f"<url><loc>{site.url}{name}.html</loc></url>" for name in names)
    site.add(
        "/sitemap.xml",
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{urls}</urlset>',
    )
    return f"sitemap:{site.url}sitemap.xml"


class TestOfTheWeb:
    @pytest.fixture
    def crawled(self, site) -> Collection:
        mark = ShelfMark(slug="web")
        collection, done = ingest_source(sitemap(site, "tea", "milk"), mark)
        assert (done.added, done.failed) == (2, 0)
        assert collection.documents.get(path="tea.html").url == f"{site.url}tea.html"
        return collection

    def test_unchanged_pages_are_not_sent_again(self, crawled, site):
        site.asked.clear()
        assert ingest(crawled).unchanged == 2
        asked = {one.path: one.headers.get("if-none-match") for one in site.asked}
        assert (asked["/tea.html"], asked["/milk.html"]) == ("tea", "milk")

    def test_a_changed_a_new_and_a_deleted_page(self, crawled, site):
        site.add("/tea.html", page("<h1>tea</h1><p>Green.</p>"), ETag="green")
        site.add("/pot.html", page("<h1>pot</h1><p>Of clay.</p>"))
        site.add("/milk.html", "gone", 410)
        sitemap(site, "tea", "milk", "pot")
        done = ingest(crawled)
        assert (done.changed, done.added, done.deleted) == (1, 1, 1)
        assert set(crawled.documents.values_list("path", flat=True)) == {"tea.html", "pot.html"}

    def test_what_cannot_be_fetched_again_stays_as_it_was(self, crawled, site, monkeypatch):
        monkeypatch.setattr(fetching, "FIRST_RETRY", timedelta(milliseconds=20))
        site.add("/tea.html", "broken", 502)
        done = ingest(crawled)
        assert (done.unchanged, done.failed) == (1, 0)
        tea = crawled.documents.get(path="tea.html")
        assert tea.state == Document.State.STALE
        assert "502" in tea.error
        assert tea.passages.filter(text__contains="About tea").exists()
        assert site.paths.count("/tea.html") == 1 + fetching.FETCH_ATTEMPTS
        crawled.refresh_from_db()
        assert "tea.html" in crawled.error
        site.add("/tea.html", page("<h1>tea</h1><p>About tea.</p>"), ETag="tea")
        assert ingest(crawled).unchanged == 2
        assert state(tea) == Document.State.READY

    def test_a_site_that_is_away_leaves_what_there_is(self, crawled, site):
        site.add("/sitemap.xml", "no", 404)
        with pytest.raises(Exception, match="404"):
            ingest(crawled)
        assert state(crawled) == Collection.State.READY
        assert "404" in crawled.error
        assert crawled.documents.count() == 2

    def test_links_are_followed_to_their_bound(self, site):
        site.add("/", page("<a href='tea.html'>t</a> <a href='milk.html'>m</a> <a href='/1'>1</a>"))
        for number in range(1, 60):
            site.add(f"/{number}", page(f"<p>Page {number}.</p><a href='/{number + 1}'>next</a>"))
        collection, done = ingest_source(f"site:{site.url}", ShelfMark(slug="all"))
        assert collection.documents.filter(path="tea.html").exists()
        depths = RunPage.objects.filter(run__collection=collection).values_list("depth", flat=True)
        assert done.added == len(depths) == 3 + max(depths)
        assert max(depths) < 59

    def test_what_only_a_page_leads_to_that_cannot_be_fetched_stays(self, site, monkeypatch):
        monkeypatch.setattr(fetching, "FIRST_RETRY", timedelta(milliseconds=20))
        site.add("/", page("<p>Start.</p><a href='/list.html'>l</a> <a href='/milk.html'>m</a>"))
        site.add("/list.html", page("<p>All.</p><a href='/tea.html'>t</a>"))
        collection, done = ingest_source(f"site:{site.url}", ShelfMark(slug="all"))
        assert done.added == 4
        site.add("/list.html", "broken", 502)
        site.add("/milk.html", "gone", 410)
        assert ingest(collection).deleted == 1
        assert collection.documents.filter(path="tea.html").exists()
        site.add("/list.html", page("<p>Nothing.</p>"))
        assert ingest(collection).deleted == 1
        assert not collection.documents.filter(path="tea.html").exists()

    def test_what_a_crawl_that_reaches_its_bound_does_not_meet_stays(self, site):
        site.add("/", page("<p>Start.</p><a href='/tea.html'>t</a>"))
        collection, _done = ingest_source(f"site:{site.url}", ShelfMark(slug="all"))
        one = worker()
        run = opened(collection, one)
        run.context["scope"]["max_seconds"] = 0
        run.save()
        with reader(one) as pages:
            pages.read_all()
        assert state(run) == Run.State.DONE
        assert run.counts == {"unchanged": 1, "gone": 0}
        assert collection.documents.filter(path="tea.html").exists()

    @pytest.mark.parametrize("status", [304, 403, 410, 502])
    def test_a_late_reply_changes_nothing_of_what_another_worker_stored(self, site, status):
        late = worker("late")
        collection = Collection.objects.create(
            slug="web",
            category="TEAM",
            title_no=1,
            visibility="everyone",
            source=sitemap(site, "tea", "milk"),
        )
        run = opened(collection, late)
        claimed = runs.claim_pages(late, run=run, most=1)
        Worker.objects.filter(pk=late.pk).update(seen_at=timezone.now() - timedelta(hours=1))
        runs.give_back_left()
        other = worker("other")
        taken_over = runs.claim_pages(other, run=run, most=1)
        assert taken_over == claimed
        site.add("/milk.html", "away", status)
        with ExitStack() as stack:
            context = SourceContext.kept(Path(stack.enter_context(context_folder(run))))
            assert PageFetcher(late, stack).fetch(run, claimed[0], context) is None
        taken_over[0].refresh_from_db()
        assert (taken_over[0].state, taken_over[0].worker) == (RunPage.State.READING, other)
        assert not collection.documents.exists()

    def test_a_page_that_comes_after_its_collection_is_deleted_does_no_harm(self, site):
        one = worker()
        site.add("/", page("<p>Start.</p><a href='/tea.html'>t</a>"))
        collection = Collection.objects.create(
            slug="web", category="A", title_no=1, visibility="everyone", source=f"site:{site.url}"
        )
        run = opened(collection, one)
        claimed = runs.claim_pages(one, run=run, most=1)
        with ExitStack() as stack:
            context = SourceContext.kept(Path(stack.enter_context(context_folder(run))))
            delete_collection(collection)
            PageFetcher(one, stack).fetch(run, claimed[0], context)
        assert not RunPage.objects.exists()
