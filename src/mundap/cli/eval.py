"""`mundap eval`: how well retrieval finds the sections that answer a file's questions, and against the last run."""

from __future__ import annotations

import json
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import click
from tqdm import tqdm

from mundap.cli.runtime import started

if TYPE_CHECKING:
    from mundap.library.models import Collection
    from mundap.retrieval.evaluation import CheckedAnswer, Measured
    from mundap.retrieval.evaluation_questions import Question
    from mundap.retrieval.evaluation_runs import Difference

_COLUMNS = ("corpus", "lang", "n", "recall@1", "recall@5", "recall@10", "mrr@10", "ndcg@10")


@click.command("eval")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--k",
    default=5,
    show_default=True,
    type=click.IntRange(1, 50),
    help="Passages an answer may use.",
)
@click.option(
    "--citations/--no-citations",
    default=True,
    show_default=True,
    help="Also answer the questions, with the chat model where there is one, and check the citations.",
)
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
def command(file: Path, k: int, citations: bool, is_json: bool) -> None:
    """Measure retrieval with the questions of FILE, one JSON object a line; the results are kept."""
    with started():
        from mundap.retrieval.evaluation import evaluate
        from mundap.retrieval.evaluation_questions import read_questions
        from mundap.retrieval.evaluation_runs import compare, keep_run

        questions = read_questions(file)
        begun = time.perf_counter()
        bar = tqdm(total=len(questions), unit="question", leave=False, disable=None)
        with bar:
            measured = evaluate(
                questions,
                k=k,
                answer=_answer if citations else None,
                progress=bar.update,
            )
        run = keep_run(
            measured,
            file=file,
            seconds=time.perf_counter() - begun,
            version=version("mundap"),
            commit=_commit(),
        )
        difference = compare(run)
    if is_json:
        click.echo(
            json.dumps(
                {**measured, "run": run.pk, "previous": difference and difference.earlier.pk},
                ensure_ascii=False,
            )
        )
    else:
        _print(measured)
        _print_difference(difference)


def _answer(question: Question, collection: Collection) -> CheckedAnswer | None:
    from mundap.answers.citation_precision import answer_and_check
    from mundap.chats.limits import asking_for_nobody

    with asking_for_nobody(question.text):
        return answer_and_check(question, collection)


def _print(measured: Measured) -> None:
    click.echo("".join(f"{name:>12}" for name in _COLUMNS))
    for group in measured["groups"]:
        click.echo("".join(f"{group[name]:>12}" for name in _COLUMNS))
    refusal, latency = measured["refusal"], measured["latency_ms"]
    click.echo(
        f"Refused {refusal['refused']} of {refusal['unanswerable']} questions without an answer, and wrongly "
        f"{refusal['falsely_refused']} of {refusal['answerable']} with one.\n"
        f"A search takes {latency['p50']} ms (median), {latency['p95']} ms (95 of 100)."
    )
    if cited := measured.get("citations"):
        click.echo(
            f"Of {cited['answers']} answers {cited['cite_gold']} cite a right section. Of {cited['statements']} cited "
            f"statements the passage supports {cited['supported']}, does not support {cited['unsupported']}, and "
            f"{cited['unjudged']} could not be judged."
        )
        if cited["failed"]:
            click.echo(
                f"{cited['failed']} questions were not answered: the chat model failed, or no more may be spent on it.",
                err=True,
            )
    if measured["skipped"]:
        click.echo(f"Not on the shelf, so skipped: {', '.join(measured['skipped'])}", err=True)


def _print_difference(difference: Difference | None) -> None:
    if difference is None:
        click.echo("This is the first run with these questions.")
        return
    earlier = difference.earlier
    about = ", ".join(part for part in (earlier.commit, earlier.embedding_model) if part)
    click.echo(f"Against the run of {earlier.created_at:%Y-%m-%d %H:%M} UTC ({about}):")
    for change in difference.changes:
        cells = "".join(f"{change.measures[name]:>+12.4g}" for name in _COLUMNS[3:])
        click.echo(f"{change.corpus:>12}{change.lang:>12}{'':>12}{cells}")
    for word, ids in (("Found now", difference.gained), ("Lost", difference.lost)):
        if ids:
            click.echo(f"{word} among the first five: {', '.join(ids)}")


def _commit() -> str:
    """Return the commit that runs, where it is a checkout and git is there."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=10"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()[:50] if done.returncode == 0 else ""
