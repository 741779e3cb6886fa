"""All settings: what each may be, what is said of a wrong one, and that nothing else reads the environment."""

import random
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dagster._utils.schedules import cron_string_iterator, is_valid_cron_schedule

from alert_pipelines import settings
from alert_pipelines.cron import is_cron
from alert_pipelines.definitions import build_defs
from alert_pipelines.errors import SettingsError
from alert_pipelines.settings import Settings, read_settings, settings_table

CHECKOUT = Path(__file__).parents[1]

WRONG = {
    "MONGODB_URI": "postgresql://ops:geheim@h/db",
    "MONGODB_DATABASE": "a/b",
    "AUTO_CLOSE_CRON": "every 5",
    "AUTO_CLOSE_TIMEZONE": "Europe/Berln",
    "AUTO_CLOSE_MAX_FRACTION": "2",
    "AUTO_CLOSE_MAX_ESCALATE_FRACTION": "half",
    "AUTO_CLOSE_MAX_WRITES_PER_S": "fast",
    "AUTO_CLOSE_LEASE_S": "1",
    "AUTO_CLOSE_STALE_MINS": "soon",
    "AUTO_CLOSE_SILENT_DAYS": "31",
    "AUTO_CLOSE_PENDING_DAYS": "month",
    "AUTO_CLOSE_REOPEN_PERCENT": "5%",
    "ALERT_PIPELINES_CODE_URL": "git.example",
    "AUTO_CLOSE_KEEP_RUNS_DAYS": "0",
    "ALERT_PIPELINES_NOTIFY_URLS": "json://127.0.0.1 hunter2secret",
}


def test_settings_were_checked_where_they_were_used_and_each_stopped_at_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in WRONG.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        build_defs()
    lines = str(refused.value).splitlines()
    assert [line.split()[0] for line in lines] == list(WRONG)
    assert all(
        re.fullmatch(r".* is not a valid .+: expected .+; got .+\. Correct it, or unset it .+", line) for line in lines
    )
    assert "geheim" not in str(refused.value)
    assert "hunter2secret" not in str(refused.value)


def test_a_misspelt_setting_had_no_effect_and_nothing_said_so() -> None:
    with pytest.raises(
        SettingsError, match="AUTO_CLOSE_MAX_FRACTON is not a valid setting: did you mean AUTO_CLOSE_MAX_"
    ):
        read_settings({"AUTO_CLOSE_MAX_FRACTON": "0.1", "AUTO_CLOSE_INTERVAL": "5", "ALERT_PIPELINES_VERSION": "1"})


def test_unset_and_blank_settings_are_the_defaults() -> None:
    found = read_settings({})
    assert found == read_settings(dict.fromkeys(WRONG, " \n")) == Settings()
    assert (found.mongodb_uri, found.mongodb_database, found.local_dir) == (
        None,
        "alert_management",
        CHECKOUT / ".local",
    )
    assert (found.cron, found.max_close_fraction, found.notify_urls) == ("*/5 * * * *", 0.5, ())


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("AUTO_CLOSE_CRON", "OFF", "cron", None),
        ("AUTO_CLOSE_CRON", "0 * * * *", "cron", "0 * * * *"),
        ("AUTO_CLOSE_TIMEZONE", "Asia/Kathmandu", "timezone", "Asia/Kathmandu"),
        ("AUTO_CLOSE_MAX_WRITES_PER_S", " 7 ", "max_writes_per_s", 7),
        ("AUTO_CLOSE_REOPEN_PERCENT", "9", "reopen_percent", 9),
        ("AUTO_CLOSE_LEASE_S", "2", "lease_s", 2),
        ("ALERT_PIPELINES_CODE_URL", "https://git.example/tree/", "code_url", "https://git.example/tree"),
        ("ALERT_PIPELINES_NOTIFY_URLS", "json://a\n slack://b/c,d", "notify_urls", ("json://a", "slack://b/c,d")),
    ],
)
def test_each_is_read_as_what_it_is(name: str, text: str, field: str, value: object) -> None:
    assert getattr(read_settings({name: text}), field) == value


@pytest.mark.parametrize(
    ("name", "texts"),
    {
        "MONGODB_URI": ["localhost:27017", "http://localhost"],
        "AUTO_CLOSE_MAX_FRACTION": ["half", "-0.1", "1.1", "nan", "50%"],
        "AUTO_CLOSE_MAX_WRITES_PER_S": ["0", "-1", "fast", "1.5", "²", "1_0", "+1", "9" * 5000],
        "AUTO_CLOSE_LEASE_S": ["1", "601", "2.5", "30 s"],
        "AUTO_CLOSE_STALE_MINS": ["a while", "0", "527041"],
        "AUTO_CLOSE_KEEP_RUNS_DAYS": ["0", "-1", "ten", "1.5", "99999"],
        "AUTO_CLOSE_TIMEZONE": ["CET+1", "Berlin", "../../etc/passwd", "Europe", "UTC\x00"],
        "AUTO_CLOSE_CRON": [
            "every 5",
            "5m",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "*/90 * * * *",
            "0 0 31 feb,apr *",
        ],
        "ALERT_PIPELINES_NOTIFY_URLS": ["secret", "json://a,json://b", "://secret", "json:// a"],
    }.items(),
)
def test_what_is_not_valid_is_refused(name: str, texts: list[str]) -> None:
    for text in texts:
        with pytest.raises(SettingsError, match=f"^{name} is not a valid "):
            read_settings({name: text})


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("a.b", "contains '.'"),
        ("a b", "contains ' '"),
        ("ü" * 32, "longer than 63 bytes"),
        ("admin", "server keeps its own data"),
    ],
)
def test_a_bad_database_name_is_refused_with_the_reason(name: str, fault: str) -> None:
    with pytest.raises(SettingsError, match=fault):
        read_settings({"MONGODB_DATABASE": name})


def test_a_relative_directory_does_not_change_with_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_settings({"ALERT_PIPELINES_LOCAL_DIR": "mongo"}).local_dir == tmp_path / "mongo"
    monkeypatch.setattr(settings, "__file__", str(tmp_path / "lib/alert_pipelines/settings.py"))
    assert read_settings({}).local_dir == tmp_path / ".local"


def test_the_repr_shows_no_secret() -> None:
    given = {"MONGODB_URI": "mongodb://ops:geheim@h/", "ALERT_PIPELINES_NOTIFY_URLS": "slack://geheim"}
    assert "geheim" not in repr(read_settings(given))


def test_the_table_of_the_docs_is_the_model_s() -> None:
    """To correct it, put in what `settings_table()` returns."""
    assert settings_table() in (CHECKOUT / "docs" / "settings.md").read_text(encoding="utf-8")


def test_no_other_module_reads_the_environment() -> None:
    readers = {
        path.relative_to(CHECKOUT).as_posix()
        for path in (CHECKOUT / "alert_pipelines").rglob("*.py")
        if re.search(r"\bos\.environ|\bgetenv|from os import", path.read_text(encoding="utf-8"))
    }
    assert readers == {"alert_pipelines/settings.py"}


def field(chance: random.Random, lowest: int, highest: int) -> str:
    def number() -> int:
        return chance.randint(lowest, highest + chance.choice([0, 0, 0, 1]))

    form = chance.choice(["*", "{0}", "{0}-{1}", "*/{2}", "{0}/{2}", "{0}-{1}/{2}", "{0},{1}"])
    return form.format(number(), number(), chance.randint(0, 9))


def test_dagster_takes_every_cron_expression_that_is_valid_here_and_it_ticks() -> None:
    chance, valid = random.Random(1), 0
    for _ in range(3_000):
        bounds = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
        text = " ".join("*" if chance.random() < 0.5 else field(chance, *one) for one in bounds)
        if is_cron(text):
            valid += 1
            assert is_valid_cron_schedule(text), text
            if valid % 50 == 0:
                next(iter(cron_string_iterator(datetime(2026, 1, 5, tzinfo=UTC).timestamp(), text, "UTC")))
    assert valid > 1_000
    for text in ("@daily", "@Hourly", "0 8-18 * * 1-5", "*/5 17,8-16 * * MON-FRI", "0 0 1 JAN *", "0 22-2 * * FRI-MON"):
        assert is_cron(text), text
        assert is_valid_cron_schedule(text), text


@pytest.mark.parametrize(("days", "month"), [("31", "1"), ("29", "2"), ("30", "4,2"), ("31-1", "2"), ("30", "JAN-FEB")])
def test_a_day_that_one_of_the_months_has_is_valid(days: str, month: str) -> None:
    assert is_cron(f"0 0 {days} {month} *")


@pytest.mark.parametrize(("days", "month"), [("30", "2"), ("31", "4,6"), ("31", "FEB"), ("30-31", "2")])
def test_a_day_that_none_of_the_months_has_is_not_valid(days: str, month: str) -> None:
    assert not is_cron(f"0 0 {days} {month} *")
