"""`mundap eval`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run
from tests.scripted_model import ScriptedModel


def _file(folder: Path) -> Path:
    question = {
        "id": "1",
        "corpus": "handbook",
        "lang": "en",
        "question": "How many days of holiday do I have?",
        "gold": [{"path": "handbook.md", "heading": "Holidays"}],
    }
    path = folder / "questions.jsonl"
    lines = [question, question | {"corpus": "nowhere"}]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


def test_json_is_one_document_in_the_promised_shape(
    run: Run, handbook: Path, tmp_path: Path
) -> None:
    done = run("eval", str(_file(tmp_path)), "--json")
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured["k"] == 5
    assert [(group["corpus"], group["n"]) for group in measured["groups"]] == [("handbook", 1)]
    assert measured["groups"][0]["recall@5"] == 1.0
    assert measured["skipped"] == ["nowhere"]
    assert measured["citations"]["cite_gold"] == 1
    assert measured["run"] > (measured["previous"] or 0)


def test_the_next_run_of_the_same_questions_is_compared(
    run: Run, handbook: Path, tmp_path: Path
) -> None:
    file = _file(tmp_path)
    file.write_text(file.read_text() + "\n")  # another file than the other tests'
    first = run("eval", str(file), "--no-citations")
    assert "This is the first run" in first.stdout
    assert "cited" not in first.stdout
    second = run("eval", str(file), "--no-citations")
    assert "Against the run of" in second.stdout


def test_people_get_a_table_and_are_told_what_was_skipped(
    run: Run, handbook: Path, tmp_path: Path
) -> None:
    done = run("eval", str(_file(tmp_path)))
    assert "recall@5" in done.stdout
    assert "handbook" in done.stdout
    assert "nowhere" in done.stderr


def test_what_it_takes_of_the_model_is_entered_and_has_an_end(
    run: Run, handbook: Path, tmp_path: Path, model: ScriptedModel
) -> None:
    shown = "from django.db.models import Sum; from mundap.chats import models as used; "
    shown += "rows = used.ModelUsage.objects.filter(user=None, model='measured'); "
    shown += "print(rows.aggregate(Sum('calls'))['calls__sum']); used.MonthSpending.objects.all().delete()"
    model.say("You have thirty days of holiday a year [1].")
    settings = {
        "OPENAI_BASE_URL": model.url,
        "MUNDAP_CHAT_MODEL": "measured",
        "MUNDAP_MODEL_PRICES": "measured=1000000/1000000",
        "MUNDAP_TOTAL_SPENDING_PER_MONTH": "1",
    }
    file = _file(tmp_path)
    file.write_text(f"{file.read_text()}\n{file.read_text().splitlines()[0]}\n")
    measured = json.loads(run("eval", str(file), "--json", **settings).stdout)
    # The first answer has spent all there was; the search is measured all the same.
    assert (measured["citations"]["failed"], measured["groups"][0]["n"]) == (1, 2)
    assert run("shell", "-v", "0", "-c", shown).stdout.strip() == str(len(model.requests)) == "1"


def test_a_missing_file_is_said(run: Run, tmp_path: Path) -> None:
    done = run("eval", str(tmp_path / "none.jsonl"))
    assert done.returncode == 1
    assert "cannot be read" in done.stderr
