"""Opens a run's source and writes down its pages: what is unchanged is done already, the rest waits to be read.

The bytes of a file go into the database until somebody has read it, so that workers need nothing of this machine; a
page of the web is fetched by whoever reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from django.db import transaction

from mundap.config import tracing
from mundap.library.models import Collection, Document, Run, RunFile, RunPage
from mundap.library.reading import GivenPage, ReadPage, SourceContext, get_format, too_large
from mundap.library.runs import is_to_open, note_progress
from mundap.library.sources import Listed, OpenedSource, SourcePage, open_source
from mundap.library.storing import BATCH, store_page

CONTENT_BATCH_BYTES = 20_000_000


def open_run(run: Run) -> None:
    """Open the source that the run's collection names, and list its pages. Raises SourceError."""
    collection = run.collection
    with (
        tracing.span("run.open", run=run.pk),
        open_source(collection.source, base_url=collection.base_url) as source,
    ):
        _keep_description(collection, source)
        list_pages(run, source)


@transaction.atomic
def list_pages(run: Run, source: OpenedSource) -> None:
    """Write down the pages of an opened source, all or none; from then on any worker reads them.

    Nothing is written where the run was cancelled meanwhile, or taken over from this worker.
    """
    if not is_to_open(run):
        return
    if source.listed is not None:
        run.context = {"scope": asdict(source.listed.scope)}
        _create(_web_pages(run, source.listed))
    else:
        context = SourceContext.of(source)
        run.context = context.as_json()
        included: set[str] = set()
        _create(_files(run, source, context, included))
        _keep_included(run, source.root, included)
        _readdress(run.collection, source)
    run.state = Run.State.READING
    run.save(update_fields=["state", "context"])
    run.collection.state = Collection.State.INGESTING
    run.collection.save(update_fields=["state"])
    note_progress(run)


def _keep_description(collection: Collection, source: OpenedSource) -> None:
    """Write what the source says of itself where nobody has said otherwise; "5.2" stays where it says 5.2.19."""
    about = source.about
    before = (collection.version, collection.title, collection.home_page, collection.licence)
    if not collection.version or not about.version.startswith(collection.version):
        collection.version = about.version or collection.version
    if collection.title == collection.slug:  # it has only been called so until now
        collection.title = about.title
    collection.home_page = collection.home_page or about.home_page
    collection.licence = collection.licence or about.licence
    if before != (collection.version, collection.title, collection.home_page, collection.licence):
        collection.save(update_fields=["version", "title", "home_page", "licence", "updated_at"])


def _web_pages(run: Run, listed: Listed) -> Iterator[RunPage]:
    for page in listed.pages:
        yield RunPage(
            run=run,
            path=page.path,
            url=page.url,
            depth=page.depth,
            content=page.content,
            format=page.format_name,
        )


def _files(
    run: Run, source: OpenedSource, context: SourceContext, included: set[str]
) -> Iterator[RunPage]:
    """Yield the run's pages; the paths of what the waiting ones include are added to `included`."""
    known = dict(run.collection.documents.values_list("path", "content_hash"))
    for page in source.pages:
        row = _file(run, page, context, known, included)
        row.url = source.address(page.path)
        yield row


def _file(
    run: Run,
    page: SourcePage,
    context: SourceContext,
    known: dict[str, str],
    included: set[str],
) -> RunPage:
    row = RunPage(run=run, path=page.path, format=page.format_name)
    if excess := too_large(page.file.stat().st_size, get_format(page.format_name)):
        row.state, row.error = RunPage.State.FAILED, excess
        store_page(
            Document(collection_id=run.collection_id, path=page.path, format=page.format_name),
            ReadPage(page.path, error=excess),
        )
        return row
    given = GivenPage(page.path, page.file.read_bytes(), page.format_name)
    row.content_hash = context.content_hash(given)
    if known.get(page.path) == row.content_hash:
        row.state = RunPage.State.UNCHANGED
    else:
        row.content = given.content
        included |= context.included(given)
    return row


def _create(pages: Iterable[RunPage]) -> None:
    """Store the rows, some at a time: their contents need not all be in memory at once."""
    waiting: list[RunPage] = []
    size_bytes = 0
    for page in pages:
        waiting.append(page)
        size_bytes += len(page.content or b"")
        if size_bytes > CONTENT_BATCH_BYTES or len(waiting) >= BATCH:
            RunPage.objects.bulk_create(waiting)
            waiting, size_bytes = [], 0
    RunPage.objects.bulk_create(waiting)


def _keep_included(run: Run, root: Path, paths: set[str]) -> None:
    RunFile.objects.bulk_create(
        [RunFile(run=run, path=path, content=(root / path).read_bytes()) for path in sorted(paths)],
        batch_size=50,
    )


def _readdress(collection: Collection, source: OpenedSource) -> None:
    """Correct the addresses of unchanged pages, where the published base has changed."""
    moved = [
        Document(pk=pk, url=source.address(path))
        for pk, path, url in collection.documents.values_list("pk", "path", "url")
        if url != source.address(path)
    ]
    Document.objects.bulk_update(moved, ["url"], batch_size=BATCH)


def context_folder(run: Run) -> TemporaryDirectory[str]:
    """Return a new folder with what the run's pages share, as `SourceContext.kept` reads it."""
    folder = TemporaryDirectory(prefix="mundap-run-")
    root = Path(folder.name)
    SourceContext.keep(root, run.context)
    for path, content in RunFile.objects.filter(run=run).values_list("path", "content"):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(content))
    return folder
