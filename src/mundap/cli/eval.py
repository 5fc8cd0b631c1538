"""`mundap eval`: how well retrieval finds the sections that answer the questions of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from mundap.cli.runtime import started


@click.command("eval")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--k",
    default=5,
    show_default=True,
    type=click.IntRange(1, 50),
    help="Passages an answer may use.",
)
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
def command(file: Path, k: int, is_json: bool) -> None:
    """Measure retrieval with the questions of FILE, one JSON object a line."""
    with started():
        from mundap.retrieval.evaluation import evaluate, read_questions

        questions = read_questions(file)
        with tqdm(total=len(questions), unit="question", leave=False, disable=None) as bar:
            measured = evaluate(questions, k=k, progress=bar.update)
    if is_json:
        click.echo(json.dumps(measured, ensure_ascii=False))
    else:
        _print(measured)


def _print(measured: dict[str, Any]) -> None:
    names = ("corpus", "lang", "n", "recall@1", "recall@5", "recall@10", "mrr@10", "ndcg@10")
    click.echo("".join(f"{name:>12}" for name in names))
    for group in measured["groups"]:
        click.echo("".join(f"{group[name]:>12}" for name in names))
    refusal, latency = measured["refusal"], measured["latency_ms"]
    click.echo(
        f"Refused {refusal['refused']} of {refusal['unanswerable']} questions without an answer, and wrongly "
        f"{refusal['falsely_refused']} of {refusal['answerable']} with one.\n"
        f"A search takes {latency['p50']} ms (median), {latency['p95']} ms (95 of 100)."
    )
    if measured["skipped"]:
        click.echo(f"Not on the shelf, so skipped: {', '.join(measured['skipped'])}", err=True)
