"""What an alert holds cannot steer the terminal of whoever looks at it on the command line."""

import pytest
from click.testing import CliRunner

from alert_pipelines.cli.output import as_text
from alert_pipelines.cli.root import cli
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule

CLEAR_AND_LIE = "\x1b[2J\x1b]0;all is well\x07\x9b31m\u202egnp.exe"


def test_a_dry_run_prints_no_control_characters(
    db: AlertDatabase, mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGODB_URI", mongo_uri)
    monkeypatch.setenv("MONGODB_DATABASE", db.name)
    fill(db, [alert(f"A1{CLEAR_AND_LIE}", minutes=120)], rule("expire", {"expire_after_mins": 60}))
    result = CliRunner().invoke(cli, ["--quiet", "scan", "--dry-run", "--as-of", AS_OF.isoformat()])
    assert result.exit_code == 0, result.output
    assert "A1" in result.stdout
    assert all(character.isprintable() or character == "\n" for character in result.output)


def test_letters_of_any_language_are_printed_as_they_are() -> None:
    assert as_text("Лесная 5,\tMünchen 東京 😀") == "Лесная 5, München 東京 😀"
