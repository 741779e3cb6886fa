"""All settings: environment variables, read and checked in one place. Nothing else in the package reads them.

They are read at each call of `read_settings` and not when a module is imported, so that a program can set them first.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from alert_pipelines.cron import is_cron
from alert_pipelines.errors import SettingsError
from alert_pipelines.spelling import close_matches
from alert_pipelines.zones import ZoneName

URI_VARIABLE = "MONGODB_URI"
DATABASE_VARIABLE = "MONGODB_DATABASE"
LOCAL_DIR_VARIABLE = "ALERT_PIPELINES_LOCAL_DIR"
CRON_VARIABLE = "AUTO_CLOSE_CRON"
TIMEZONE_VARIABLE = "AUTO_CLOSE_TIMEZONE"
RATE_VARIABLE = "AUTO_CLOSE_MAX_WRITES_PER_S"
LEASE_VARIABLE = "AUTO_CLOSE_LEASE_S"
KEEP_VARIABLE = "AUTO_CLOSE_KEEP_RUNS_DAYS"
NOTIFY_VARIABLE = "ALERT_PIPELINES_NOTIFY_URLS"
PREFIX_VARIABLE = "ALERT_PIPELINES_PREFIX"
PRIORITY_VARIABLE = "AUTO_CLOSE_RUN_PRIORITY"
INBOX_VARIABLE = "ALERT_PIPELINES_INBOX"

DEFAULT_CRON = "*/5 * * * *"
DEFAULT_LEASE_S, SHORTEST_LEASE_S, LONGEST_LEASE_S = 30, 2, 600
OFF = "off"

_OWN_PREFIXES = ("AUTO_CLOSE_", "ALERT_PIPELINES_")
_URI_SCHEMES = ("mongodb://", "mongodb+srv://")
# What the server itself refuses in a database's name, on any platform.
_FORBIDDEN_IN_NAMES = frozenset('/\\. "$*<>:|?\0')
_LONGEST_NAME_BYTES = 63
_SERVER_DATABASES = frozenset({"admin", "config", "local"})

_NOTIFY_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE | re.ASCII)
_AND_ANOTHER = re.compile(r",\s*[a-z][a-z0-9+.-]*://", re.IGNORECASE | re.ASCII)


class Form(NamedTuple):
    """How messages and the table of settings name one: what it is, what is valid, and what unset means."""

    noun: str
    expected: str
    unset: str
    secret: bool = False


def uri_fault(uri: str) -> str | None:
    """Why `uri` cannot be a MongoDB URI, without quoting it; None if it may be one."""
    return None if uri.startswith(_URI_SCHEMES) else "it begins with neither"


def database_fault(name: str) -> str | None:
    """Why `name` cannot name the alerts' database; None if it can."""
    forbidden = sorted(_FORBIDDEN_IN_NAMES & set(name))
    if not name:
        return "it is empty"
    if forbidden:
        return f"it contains {' '.join(map(repr, forbidden))}"
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return "it is not valid UTF-8"
    if len(encoded) > _LONGEST_NAME_BYTES:
        return f"it is longer than {_LONGEST_NAME_BYTES} bytes"
    if name in _SERVER_DATABASES:
        return "the server keeps its own data there"
    return None


URI_FORM = Form("MongoDB URI", "mongodb://… or mongodb+srv://…", "none: a local mongod is started", secret=True)
DATABASE_FORM = Form("name for the alerts' database", "a name that MongoDB allows", "`alert_management`")


def message(variable: str, form: Form, value: object, fault: str) -> str:
    """That the value of a variable is not valid; one that may hold a password is not quoted."""
    got = "a value that is not shown, since it may hold a password" if form.secret else repr(value)
    because = f" ({fault})" if fault else ""
    return (
        f"{variable} is not a valid {form.noun}: expected {form.expected}; got {got}{because}. "
        "Correct it, or unset it to use the default"
    )


def _without_fault(fault_of: Callable[[str], str | None]) -> BeforeValidator:
    def checked(text: str) -> str:
        if fault := fault_of(text):
            raise ValueError(fault)
        return text

    return BeforeValidator(checked)


def _cron(text: str) -> str | None:
    if text.lower() == OFF:
        return None
    if not is_cron(text):
        raise ValueError
    return text


def _digits(text: str) -> str:
    # int() takes 1_0, +1 and digits of any script as well.
    if not (text.isascii() and text.isdecimal()):
        raise ValueError
    return text


def _directory(text: str) -> Path:
    return Path(text).absolute()


def _default_local_dir() -> Path:
    checkout = Path(__file__).resolve().parents[1]
    base = checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()
    return base / ".local"


def _web_url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError
    return text.rstrip("/")


def _notify_urls(text: str) -> tuple[str, ...]:
    urls = tuple(text.split())
    for place, url in enumerate(urls, 1):
        if not _NOTIFY_URL.fullmatch(url):
            raise ValueError(f"entry {place} of {len(urls)} does not begin with a service and ://")
        if _AND_ANOTHER.search(url):
            raise ValueError(f"entry {place} of {len(urls)} has a comma where a blank belongs")
    return urls


def _whole_number(noun: str, highest: int, unset: str, lowest: int = 1) -> tuple[Any, ...]:
    form = Form(noun, f"an integer from {lowest} to {highest}", unset)
    return BeforeValidator(_digits), Field(ge=lowest, le=highest), form


_FRACTION = (Field(ge=0, le=1), Form("fraction", "a number from 0 to 1, such as 0.5", "`0.5`"))


class Settings(BaseModel):
    """The settings of this process: one field for each variable, with the default that holds if it is not set."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    mongodb_uri: Annotated[str | None, _without_fault(uri_fault), URI_FORM] = Field(
        None, alias=URI_VARIABLE, repr=False, description="the MongoDB server"
    )
    mongodb_database: Annotated[str, _without_fault(database_fault), DATABASE_FORM] = Field(
        "alert_management",
        alias=DATABASE_VARIABLE,
        description="the database with `alerts`, `rules`, `pipeline_rules`, `background_jobs`",
    )
    local_dir: Annotated[Path, BeforeValidator(_directory), Form("directory", "a path", "`.local` in the checkout")] = (
        Field(
            default_factory=_default_local_dir,
            alias=LOCAL_DIR_VARIABLE,
            description="where the local mongod keeps its data",
        )
    )
    cron: Annotated[
        str | None,
        BeforeValidator(_cron),
        Form("cron expression", f"five fields such as {DEFAULT_CRON!r}, or {OFF!r}", f"`{DEFAULT_CRON}`"),
    ] = Field(
        DEFAULT_CRON,
        alias=CRON_VARIABLE,
        description=f"the schedule of scans: a cron expression in the time zone `{TIMEZONE_VARIABLE}`, or `off`",
    )
    timezone: Annotated[ZoneName, Form("time zone", "an IANA name such as 'Europe/Berlin'", "`UTC`")] = Field(
        "UTC", alias=TIMEZONE_VARIABLE, description=f"the IANA time zone of `{CRON_VARIABLE}`"
    )
    max_close_fraction: Annotated[float, *_FRACTION] = Field(
        0.5,
        alias="AUTO_CLOSE_MAX_FRACTION",
        description="if a scan would close more than this fraction of the pending alerts, it closes none; see "
        "[Limits](rules.md#limits)",
    )
    max_escalate_fraction: Annotated[float, *_FRACTION] = Field(
        0.5,
        alias="AUTO_CLOSE_MAX_ESCALATE_FRACTION",
        description="if a scan would escalate more than this fraction of the `OPEN` alerts, it escalates none; see "
        "[Limits](rules.md#limits)",
    )
    max_writes_per_s: Annotated[int | None, *_whole_number("number of alerts a second", 1_000_000, "unlimited")] = (
        Field(
            None,
            alias=RATE_VARIABLE,
            description="maximum write rate of a scan, in alerts per second. Set it if other applications use the same "
            "server; see [Benchmarks](performance.md#impact-with-a-limited-write-rate)",
        )
    )
    lease_s: Annotated[
        int, *_whole_number("number of seconds", LONGEST_LEASE_S, f"`{DEFAULT_LEASE_S}`", SHORTEST_LEASE_S)
    ] = Field(
        DEFAULT_LEASE_S,
        alias=LEASE_VARIABLE,
        description="seconds for which a scan whose process was killed blocks other scans; see "
        "[The lease of a scan](operating.md#the-lease-of-a-scan)",
    )
    stale_mins: Annotated[
        int | None, *_whole_number("number of minutes", 60 * 24 * 366, f"follows `{CRON_VARIABLE}`: 15")
    ] = Field(
        None,
        alias="AUTO_CLOSE_STALE_MINS",
        description="minutes without a scan after which a scan counts as missed",
    )
    silent_days: Annotated[int, *_whole_number("number of days", 30, "`7`")] = Field(
        7,
        alias="AUTO_CLOSE_SILENT_DAYS",
        description="a check warns of an active rule that has decided nothing for this number of days; see "
        "[Checks](operating.md#see-what-was-decided)",
    )
    pending_days: Annotated[int, *_whole_number("number of days", 3650, "`30`")] = Field(
        30, alias="AUTO_CLOSE_PENDING_DAYS", description="a check warns of alerts pending for this number of days"
    )
    reopen_percent: Annotated[int, *_whole_number("percentage", 100, "`5`")] = Field(
        5,
        alias="AUTO_CLOSE_REOPEN_PERCENT",
        description="a check warns of a rule if people reopen this percentage of its closes",
    )
    code_url: Annotated[
        str | None, BeforeValidator(_web_url), Form("URL", "https://… or http://…", "the files of the checkout")
    ] = Field(None, alias="ALERT_PIPELINES_CODE_URL", description="the base URL of the links from assets to their code")
    ui_url: Annotated[
        str | None, BeforeValidator(_web_url), Form("URL", "https://… or http://…", "no links in messages")
    ] = Field(
        None,
        alias="ALERT_PIPELINES_UI_URL",
        description="the URL of the Dagster UI, for the links in [notifications](notifications.md)",
    )
    run_priority: Annotated[int | None, *_whole_number("priority of runs", 100, "Dagster's default")] = Field(
        None,
        alias=PRIORITY_VARIABLE,
        description="the tag `dagster/priority` of scheduled scans. Set it only if other code locations in the "
        "workspace agree; see [Run priority](operating.md#run-priority)",
    )
    keep_runs_days: Annotated[int | None, *_whole_number("number of days", 36_500, "all are kept")] = Field(
        None,
        alias=KEEP_VARIABLE,
        description="days after which runs of this code location are deleted. Job records are kept; see "
        "[Run retention](operating.md#run-retention)",
    )
    inbox: Annotated[Path | None, BeforeValidator(_directory), Form("directory", "a path", "no directory")] = Field(
        None,
        alias=INBOX_VARIABLE,
        description="a directory whose files are loaded automatically; see [An inbox](loading.md#an-inbox)",
    )
    notify_urls: Annotated[
        tuple[str, ...],
        BeforeValidator(_notify_urls),
        Form("list of apprise URLs", "service://… with blanks between", "no notifications", secret=True),
    ] = Field(
        (),
        alias=NOTIFY_VARIABLE,
        repr=False,
        description="apprise URLs of the receivers of notifications, separated by blanks: failures, decisions of rules "
        "with `notify`, and a daily digest; see [Notifications](notifications.md)",
    )
    prefix: Annotated[
        str | None,
        Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,29}$"),
        Form("prefix", "a letter, then up to 29 letters, digits and underscores, such as 'north'", "none"),
    ] = Field(
        None,
        alias=PREFIX_VARIABLE,
        description="a prefix for the names of this copy in Dagster, for "
        "[two copies in one workspace](add-to-dagster.md#two-copies)",
    )


_FORMS: dict[str, Form] = {
    field.alias or name: next(one for one in field.metadata if isinstance(one, Form))
    for name, field in Settings.model_fields.items()
}
"""By variable."""


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read and check all settings. A blank value counts as unset.

    Raises SettingsError, which names every variable that is not valid, or whose name is a misspelt setting.
    """
    given = {name: text for name in _FORMS if (text := environ.get(name, "").strip())}
    faults = [_misspelt(name) for name in environ if name.startswith(_OWN_PREFIXES) and name not in _FORMS]
    try:
        found = Settings.model_validate(given)
    except ValidationError as error:
        faults = [*(_fault(details, given) for details in error.errors()), *faults]
    if any(faults):
        raise SettingsError("\n".join(filter(None, faults)))
    return found


def settings_table() -> str:
    """The table of all settings as docs/settings.md has it, in Markdown."""
    rows = [
        f"| `{field.alias}` | {_FORMS[str(field.alias)].unset} | {field.description} |"
        for field in Settings.model_fields.values()
    ]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def environment_with(**overrides: str) -> dict[str, str]:
    """The environment of this process with `overrides`, for a process that it starts."""
    return {**os.environ, **overrides}


def _fault(details: ErrorDetails, given: Mapping[str, str]) -> str:
    variable = str(details["loc"][0])
    reason = details.get("ctx", {}).get("error", "")
    return message(variable, _FORMS[variable], given[variable], str(reason))


def _misspelt(name: str) -> str | None:
    near = close_matches(name, _FORMS, cutoff=0.9)
    return f"{name} is not a valid setting: did you mean {near[0]}? Correct it, or unset it" if near else None
