"""Explaining one alert, and that the explanation is what a scan then does."""

import random
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from bson.datetime_ms import DatetimeMS

from alert_pipelines.audit.decisions import decisions_of_alert
from alert_pipelines.audit.explain import Explanation, explain_alert
from alert_pipelines.errors import AlertNotFoundError, InvalidTimestampError, SharedAlertIdError
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule, statuses


def explain(db: AlertDatabase, alert_id: str) -> Explanation:
    return explain_alert(db, alert_id, as_of=AS_OF)


def test_each_test_shows_its_value_and_whether_it_holds(db: AlertDatabase) -> None:
    conditions = {"close_if": {"field": "metadata.speed", "op": "lt", "value": 80}, "severities": ["INFO"]}
    fill(db, [alert("A", metadata={"speed": 70})], rule("slow", conditions))
    clause = explain(db, "A").clauses[0]
    tests = {test.name: test for test in clause.tests}
    assert (tests["close_if"].values, tests["close_if"].holds) == ({"metadata.speed": 70}, True)
    assert (tests["severities"].values, tests["severities"].holds) == ({"severity": "WARNING"}, False)
    assert not clause.due
    assert "slow: not so: severity is INFO" in explain(db, "A").why


def test_a_number_kept_as_text_looked_like_the_number_that_its_test_asks_for(db: AlertDatabase) -> None:
    conditions = {"close_if": {"field": "metadata.feedback_rating", "op": "gte", "value": 4}}
    ratings = {"T": "5", "N": 5, "D": ago(60), "L": ["5"], "B": True, "O": {"is": 5}, "I": ObjectId("0" * 24)}
    fill(db, [alert(name, metadata={"feedback_rating": rating}) for name, rating in ratings.items()])
    fill(db, [], rule("good", conditions))
    of_test = {
        name: next(test for test in explain(db, name).clauses[0].tests if test.name == "close_if") for name in ratings
    }
    assert of_test["T"].description == "metadata.feedback_rating is at least 4"
    assert {
        name: test.values_in_words.removeprefix("metadata.feedback_rating = ") for name, test in of_test.items()
    } == {
        "T": "'5' (text)",
        "N": "5",
        "D": "2026-03-01T11:00:00+00:00 (date)",
        "L": "['5'] (array)",
        "B": "true (boolean)",
        "O": "{'is': 5} (document)",
        "I": f"ObjectId('{'0' * 24}') (ObjectId)",
    }
    assert of_test["T"].kinds == {"metadata.feedback_rating": "text"}


def test_each_rule_that_concerns_the_alert_is_said_in_a_sentence(db: AlertDatabase) -> None:
    elsewhere = rule("elsewhere", {"expire_after_mins": 60}, source_type="SAFETY")
    tried = rule("tried", {"keep_first": True}, mode="shadow")
    fill(db, [alert("A")], rule("old", {"expire_after_mins": 60}), tried, elsewhere)
    assert explain(db, "A").rules == {
        "old": "Closes OVERSPEEDING alerts when they are 1 hour old.",
        "tried": "Closes OVERSPEEDING alerts when an older pending one with the same metadata.driver_id exists.",
    }


def test_the_keys_other_alerts_are_the_evidence(db: AlertDatabase) -> None:
    pile = [alert(f"P{n}", minutes=10 * n) for n in range(3)]
    others = [alert("other-driver", driver="D2"), alert("too-old", minutes=61), alert("closed", status="RESOLVED")]
    fill(db, [*pile, *others], rule("pile-up", {"escalate_if_count": 3, "window_mins": 60}))
    explanation = explain(db, "P0")
    clause = next(clause for clause in explanation.clauses if clause.rule_id == "pile-up")
    assert (clause.due, clause.evidence, clause.evidence_total) == (True, ("P1", "P2"), 2)
    assert explanation.decided_by == clause


def test_the_decision_says_what_it_ranks_before(db: AlertDatabase) -> None:
    low, high = rule("low", {"expire_after_mins": 10}), rule("high", {"expire_after_mins": 20}, priority=5)
    fill(db, [alert("A", expires_at=ago(1))], low, high)
    why = explain(db, "A").why
    assert why.startswith("rule 'high' would close it")
    assert why.endswith("ranks before low, expires_at")


def test_maintenance_windows_shadow_rules_and_the_past_are_shown(db: AlertDatabase) -> None:
    window = {"source_types": ["OVERSPEEDING"], "from": ago(1), "to": ago(-1), "reason": "r"}
    fill(db, [alert("A", minutes=60)], rule("expire", {"expire_after_mins": 60}))
    fill(db, [], rule("ghost", {"expire_after_mins": 5}, mode="shadow"))
    run_scan(db, ScanRequest(as_of=ago(0)))
    db.alerts.update_one({"alert_id": "A"}, {"$set": {"status": "OPEN"}})
    db.maintenance_windows.insert_one(window)
    explanation = explain(db, "A")
    failed = {test.name for clause in explanation.clauses for test in clause.tests if not test.holds}
    assert failed >= {"maintenance", "never_again", "undecided"}
    assert [entry["rule_triggered"] for entry in explanation.past] == ["expire"]
    assert [(clause.rule_id, clause.mode.value) for clause in explanation.clauses][-1] == ("ghost", "shadow")


def test_a_shadow_rule_is_explained_and_decides_nothing(db: AlertDatabase) -> None:
    fill(db, [alert("A", minutes=60)], rule("ghost", {"expire_after_mins": 60}, mode="shadow", is_active=False))
    explanation = explain(db, "A")
    assert explanation.decided_by is None
    assert [(clause.rule_id, clause.mode.value, clause.due) for clause in explanation.clauses] == [
        ("ghost", "shadow", True)
    ]


def test_an_alert_without_expires_at_was_said_to_wait_for_it(db: AlertDatabase) -> None:
    fill(db, [alert("A"), alert("B", expires_at=ago(-1))], rule("old", {"expire_after_mins": 1440}))
    waits = "A scan at 01 Mar 2026 12:00 UTC would leave it: old needs: timestamp is 1 day old or more"
    assert explain(db, "A").answer == f"{waits}."
    assert explain(db, "B").answer == f"{waits}; expires_at needs: its own expires_at has passed."


def test_of_a_key_with_thousands_of_alerts_only_the_window_is_read(db: AlertDatabase) -> None:
    fill(db, [alert(f"A{n}", minutes=n) for n in range(5_000)], rule("pile-up", {"escalate_if_count": 3}))
    db.command("profile", 2)
    explanation = explain(db, "A0")
    db.command("profile", 0)
    assert explanation.decided_by is not None
    assert explanation.decided_by.evidence_total == 60
    read = [entry["docsExamined"] for entry in db["system.profile"].find({"ns": f"{db.name}.alerts", "op": "command"})]
    assert len(read) > 2
    assert max(read) < 500


def test_a_naive_as_of_is_utc_and_one_out_of_the_calendar_is_named(db: AlertDatabase) -> None:
    window = {"from": ago(60), "to": ago(-60), "reason": "works"}
    db.maintenance_windows.insert_one(window)
    fill(db, [alert("A", minutes=100)], rule("old", {"expire_after_mins": 60}))
    naive = explain_alert(db, "A", as_of=AS_OF.replace(tzinfo=None))
    assert (naive.as_of, naive.why) == (AS_OF, explain(db, "A").why)
    assert "it is outside all maintenance windows" in naive.why
    with pytest.raises(InvalidTimestampError, match="give one of the years 1000 to 8999"):
        explain_alert(db, "A", as_of=AS_OF.replace(year=1))


def test_an_alert_in_a_window_was_told_what_each_rule_needs_and_not_which_window_holds_it(db: AlertDatabase) -> None:
    holds = {"from": ago(60), "to": ago(-60)}
    snooze = {"window_id": "S1", "field": "alert_id", "values": ["A"], "reason": "on the phone", "created_by": "me"}
    others = {"window_id": "S2", "field": "alert_id", "values": ["B"], "reason": "other"}
    db.maintenance_windows.insert_many([{**snooze, **holds}, {**others, **holds}])
    two = (rule("old", {"expire_after_mins": 60}), rule("older", {"expire_after_mins": 90}))
    fill(db, [alert("A", minutes=100)], *two)
    assert explain(db, "A").answer.removeprefix("A scan at 01 Mar 2026 12:00 UTC ") == (
        "would leave it: the maintenance window S1 exempts it until 01 Mar 2026 13:00 UTC: on the phone (by me)."
    )


def test_what_two_rules_need_alike_was_said_twice(db: AlertDatabase) -> None:
    two = (rule("old", {"expire_after_mins": 60}), rule("older", {"expire_after_mins": 90}))
    fill(db, [alert("A", timestamp="2026-03-01")], *two)
    assert explain(db, "A").answer.endswith(
        "would leave it: old and older need: timestamp is a date at or before as_of."
    )


def test_no_test_that_does_not_hold_reads_as_a_double_negation(db: AlertDatabase) -> None:
    holds = {"from": ago(60), "to": ago(-60)}
    db.maintenance_windows.insert_many([holds, {**holds, "covers": "raised"}])
    rules = (
        rule("old", {"expire_after_mins": 60}),
        rule("pile-up", {"escalate_if_count": 3, "ignore_keys": ["D0"]}),
        rule("other", {"close_if_other": {"source_type": "SAFETY"}}),
    )
    fill(db, [alert("A", minutes=100)], *rules)
    found = explain(db, "A")
    tests = {test.description for clause in found.clauses for test in clause.tests}
    assert {clause.rule_id for clause in found.clauses} == {"old", "pile-up", "other"}
    assert [test for test in tests if re.search(r"\b(no|not|none|neither|nor)\b", test)] == [
        "it would be the first close since its timestamp by this rule, or by a job that names no rule"
    ]


def test_an_unknown_alert_is_named(db: AlertDatabase) -> None:
    for ask in (explain, decisions_of_alert):
        with pytest.raises(AlertNotFoundError, match="'nobody'"):
            ask(db, "nobody")


def test_an_id_that_two_alerts_share_was_explained_as_if_there_were_one(bare_db: AlertDatabase) -> None:
    fill(bare_db, [alert("twice", minutes=10), alert("twice", minutes=100)])
    for ask in (explain, decisions_of_alert):
        with pytest.raises(SharedAlertIdError, match=r"several alerts .* 'twice'"):
            ask(bare_db, "twice")


def test_an_unreadable_history_is_said(db: AlertDatabase) -> None:
    fill(db, [alert("A", minutes=60, state_history="text")], rule("expire", {"expire_after_mins": 60}))
    assert "cannot be recorded" in explain(db, "A").why


def test_an_id_that_is_too_long_to_be_written_is_said(db: AlertDatabase) -> None:
    fill(db, [alert("A", minutes=60) | {"_id": "x" * 1_100}], rule("expire", {"expire_after_mins": 60}))
    assert "_id is not valid: expected at most 1024 bytes; got 1115" in explain(db, "A").why


def test_an_explanation_had_words_of_its_own_for_what_a_scan_names_as_malformed(db: AlertDatabase) -> None:
    odd: dict[str, dict[str, Any]] = {
        "no date": {"timestamp": "yesterday"},
        "array": {"timestamp": [AS_OF]},
        "far ahead": {"timestamp": datetime(2106, 2, 7, tzinfo=UTC)},
        "expiry": {"expires_at": "never"},
        "history": {"state_history": "text"},
        "long": {"_id": "x" * 1_100},
    }
    alerts = [alert(name, minutes=60) | fields for name, fields in odd.items()]
    fill(db, [*alerts, alert("fine", minutes=60)], rule("expire", {"expire_after_mins": 60}))
    errors: dict[str, list[str]] = {name: [] for name in (*odd, "fine")}
    for error in run_scan(db, ScanRequest(as_of=AS_OF, dry_run=True)).errors:
        errors[error.split("'")[1]].append(error)
    for name, named in errors.items():
        explanation = explain(db, name)
        *_, why_not_written = explanation.why.partition("; but ")
        unwritable = f"alert {name!r}: rule 'expire' would close it, but {why_not_written}"
        assert [*explanation.malformed, *([unwritable] if why_not_written else [])] == named
        assert bool(named) == (name != "fine")


@pytest.mark.parametrize(
    "conditions",
    [{"escalate_if_count": 2}, {"close_if_no_repeat_mins": 60}, {"keep_latest": True}, {"keep_first": True}],
)
def test_of_a_date_before_python_s_years_it_says_what_the_scan_does(
    db: AlertDatabase, conditions: dict[str, Any]
) -> None:
    before_year_1 = DatetimeMS(-(10**14))
    odd = [alert(name, timestamp=before_year_1) for name in ("x1", "x2")]
    fill(db, [*odd, alert("new", minutes=1)], rule("r", conditions))
    foretold = {name: explain(db, name).decided_by is not None for name in ("x1", "x2", "new")}
    run_scan(db, ScanRequest(as_of=AS_OF))
    assert foretold == {name: status != "OPEN" for name, status in statuses(db).items()}


def random_alert(rng: random.Random, number: int) -> dict[str, Any]:
    # Keys of many alerts, and keys of few, of which some have been quiet for long.
    drivers = ["D1", "D2", None, ["D1"], 4, 4.0, f"F{number // 3}", f"F{number // 3}"]
    metadata = {"driver_id": rng.choice(drivers), "ok": rng.choice([True, 1, None])}
    return alert(
        f"R{number}",
        minutes=rng.choice([-5, 0, 1, 30, 59, 60, 61, 1440]) + rng.random() * rng.choice([0, 20]),
        metadata=rng.choice([metadata, metadata, metadata, None]),
        status=rng.choice(["OPEN", "OPEN", "ESCALATED", "RESOLVED"]),
        source_type=rng.choice(["OVERSPEEDING", "COMPLIANCE", "OTHER"]),
        **rng.choice([{}, {}, {"expires_at": ago(rng.choice([-1, 0, 1]))}]),
    )


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(300, marks=pytest.mark.slow),
        pytest.param(20_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)]),
    ],
)
def test_explaining_agrees_with_the_scan_on_every_alert(db: AlertDatabase, count: int) -> None:
    rng = random.Random(20260301)
    alerts = [random_alert(rng, number) for number in range(count)]
    rules = [
        rule("pile-up", {"escalate_if_count": count // 100, "window_mins": 30}),
        rule("expire", {"expire_after_mins": 60, "hold_mins": 61}, priority=1),
        rule("quiet", {"close_if_no_repeat_mins": 59}, source_type="COMPLIANCE"),
        rule("latest", {"keep_latest": True, "statuses": ["ESCALATED"]}, source_type="COMPLIANCE"),
        rule(
            "count", {"escalate_if_count": 2, "count_if": {"field": "metadata.ok", "op": "exists"}}, source_type="OTHER"
        ),
        rule("first", {"keep_first": True, "only_if": {"field": "metadata.ok", "op": "missing"}}, source_type="OTHER"),
        rule("valid", {"auto_close_if": "ok"}, source_type="COMPLIANCE", priority=3),
        rule(
            "settled",
            {
                "close_if_other": {"source_type": "OTHER", "statuses": ["RESOLVED"]},
                "suppress_if_other": {"source_type": "COMPLIANCE", "match": {"metadata.ok": "metadata.ok"}},
            },
            priority=-1,
        ),
        rule(
            "loud", {"escalate_if": {"field": "created_at", "op": "lte", "value_of": "timestamp"}}, source_type="OTHER"
        ),
        rule("ghost", {"expire_after_mins": 1}, mode="shadow", is_active=False, priority=9),
    ]
    fill(db, alerts, *rules)
    foretold = {doc["alert_id"]: explain(db, doc["alert_id"]).decided_by for doc in alerts}
    report = run_scan(db, ScanRequest(as_of=AS_OF))
    changed = db.alerts.find({"state_history.0": {"$exists": True}})
    decided = {doc["alert_id"]: doc["state_history"][-1]["rule_triggered"] for doc in changed}
    assert decided == {alert_id: clause.rule_id for alert_id, clause in foretold.items() if clause}
    assert len(decided) == report.closed + report.escalated
    assert {row.rule_id for row in report.decisions} == {
        "pile-up",
        "expire",
        "quiet",
        "latest",
        "valid",
        "expires_at",
        "count",
        "first",
        "settled",
        "loud",
    }


@pytest.mark.parametrize(
    ("conditions", "alert_id", "due"),
    [
        ({"keep_latest": True}, "A300", True),
        ({"keep_latest": True}, "A1", False),
        ({"keep_first": True}, "A1", True),
        ({"keep_first": True}, "A300", False),
        ({"close_if_no_repeat_mins": 100}, "A300", False),
        ({"close_if_no_repeat_mins": 1}, "A300", True),
    ],
)
def test_explaining_one_alert_of_a_large_key_once_read_all_the_others_again(
    db: AlertDatabase, conditions: dict[str, Any], alert_id: str, *, due: bool
) -> None:
    fill(db, [alert(f"A{n}", minutes=n) for n in range(1, 301)], rule("r", conditions))
    db.command("profile", 2)
    assert explain(db, alert_id).clauses[0].due is due
    db.command("profile", 0)
    one = db.alerts.find_one({"alert_id": alert_id})
    assert one
    asked = [
        query
        for query in db["system.profile"].find({"command.aggregate": "alerts"})
        if query["command"]["pipeline"][-1] == {"$match": {"_id": one["_id"]}}
    ]
    assert [query["docsExamined"] <= 4 for query in asked] == [True]


def test_explaining_one_alert_counted_all_others_of_its_key_however_many(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alert_pipelines.audit.explain.MAX_COUNTED", 30)
    pile = [alert(f"A{n}", minutes=n, metadata={"region": "north"}) for n in range(1, 301)]
    fill(db, pile, rule("latest", {"keep_latest": True, "group_by": "metadata.region"}))
    db.command("profile", 2)
    [clause] = explain(db, "A300").clauses
    [few] = explain(db, "A11").clauses
    db.command("profile", 0)
    assert (clause.due, clause.evidence_total, clause.evidence_not_named) == (True, 30, "at least 10")
    assert (few.due, few.evidence_total, few.evidence_not_named) == (True, 10, "")
    counts = db["system.profile"].find({"command.pipeline.1.$limit": 30, "ns": f"{db.name}.alerts"})
    # By whichever index, no more are read than are counted and what lies between them.
    assert next(counts.sort("ts", 1))["docsExamined"] <= 40
