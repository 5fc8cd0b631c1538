"""`mundap create-admin` and `mundap create-token`."""

from __future__ import annotations

from tests.cli.conftest import Run


def test_an_administrator_with_a_made_up_password(run: Run) -> None:
    done = run("create-admin", "root@example.org")
    assert done.returncode == 0, done.stderr
    assert "a new administrator" in done.stdout
    assert len(done.stdout.split("Password: ")[1].strip()) >= 16


def test_an_administrator_with_a_password_of_ones_own_and_again(run: Run) -> None:
    password = "correct horse battery staple"
    first = run("create-admin", "admin@example.org", MUNDAP_ADMIN_PASSWORD=password)
    assert first.returncode == 0, first.stderr
    assert password not in first.stdout + first.stderr
    again = run("create-admin", "ADMIN@example.org")
    assert again.returncode == 0
    assert "now an administrator" in again.stdout
    assert "Password" not in again.stdout


def test_bad_input_is_refused_in_words(run: Run) -> None:
    wrong = run("create-admin", "nobody", MUNDAP_ADMIN_PASSWORD="correct horse battery")
    assert wrong.returncode == 1
    assert "not an e-mail address" in wrong.stderr
    weak = run("create-admin", "weak@example.org", MUNDAP_ADMIN_PASSWORD="12345")
    assert weak.returncode == 1
    assert "too short" in weak.stderr
    assert "Traceback" not in wrong.stderr + weak.stderr


def test_a_token_is_all_that_is_printed(run: Run) -> None:
    run("create-admin", "token@example.org", MUNDAP_ADMIN_PASSWORD="correct horse battery")
    done = run("create-token", "token@example.org", "--name", "laptop")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mundap_")
    assert len(done.stdout.split()) == 1


def test_a_token_for_nobody(run: Run) -> None:
    done = run("create-token", "stranger@example.org")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "create-admin stranger@example.org" in done.stderr
