"""What an API answers, one JSON document, by the presets that are written for an export of another form."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from alert_pipelines.errors import LoadError
from alert_pipelines.loading import load_alerts, load_preset
from alert_pipelines.loading.mapping_parts import Layout
from alert_pipelines.loading.readers import Row, read_rows
from alert_pipelines.mongo import AlertDatabase

OPSGENIE = {"id": "og1", "status": "open", "priority": "P1", "createdAt": "2026-11-20T06:00:00Z"}
ELASTIC = {"_id": "k1", "_source": {"kibana.alert.status": "active", "kibana.alert.start": "2026-11-20T10:00:00.123Z"}}
PAGERDUTY = {
    "id": "PD1",
    "incident_number": 7,
    "urgency": "high",
    "status": "resolved",
    "created_at": "2026-11-20T06:00:00Z",
    "resolved_at": "2026-11-20T07:00:00Z",
    "title": "Box warm",
    "service": {"id": "S1", "summary": "telematics"},
    "escalation_policy": {"id": "E1", "summary": "night"},
    "last_status_change_by": {"id": "U1", "summary": "ann"},
}
FAILURE = {"shard": 0, "reason": {"type": "timeout"}}
ANSWERS: dict[str, dict[str, Any]] = {
    "opsgenie": {"data": [OPSGENIE], "paging": {"next": "https://example.org"}, "took": 0.3},
    "pagerduty": {"incidents": [PAGERDUTY], "limit": 25, "more": False},
    "elastic": {"took": 5, "_shards": {"failures": [FAILURE]}, "hits": {"total": {"value": 1}, "hits": [ELASTIC]}},
}


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "answer.json"
    path.write_text(text)
    return path


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ANSWERS)
def test_the_answer_of_an_api_was_refused_by_the_preset_for_its_export(
    db: AlertDatabase, tmp_path: Path, name: str, indent: int | None
) -> None:
    path = write(tmp_path, json.dumps(ANSWERS[name], indent=indent))
    report = load_alerts(db, path, load_preset(name))
    assert (report.alerts_inserted, report.rows_rejected) == (1, 0), report.reject_reasons


def test_an_incident_of_pagerdutys_api_has_its_names(db: AlertDatabase, tmp_path: Path) -> None:
    load_alerts(db, write(tmp_path, json.dumps(ANSWERS["pagerduty"])), load_preset("pagerduty"))
    alert = db.alerts.find_one() or {}
    assert (alert["alert_id"], alert["status"], alert["resolved_by"]) == ("PD1", "RESOLVED", "ann")
    assert (alert["metadata"]["service"], alert["metadata"]["escalation_policy"]) == ("telematics", "night")


@pytest.mark.parametrize("text", ['{"data": []}', '{\n "data": [],\n "took": 0.3\n}\n', "[]"])
def test_an_answer_without_alerts_is_no_fault(db: AlertDatabase, tmp_path: Path, text: str) -> None:
    report = load_alerts(db, write(tmp_path, text), load_preset("opsgenie"))
    assert (report.alerts_inserted, report.rows_rejected) == (0, 0)


def test_an_array_of_alerts_and_a_gzipped_answer_are_read_alike(db: AlertDatabase, tmp_path: Path) -> None:
    assert load_alerts(db, write(tmp_path, json.dumps([OPSGENIE], indent=1)), load_preset("opsgenie")).alerts_inserted
    packed = tmp_path / "answer.json.gz"
    packed.write_bytes(gzip.compress(json.dumps(ANSWERS["elastic"]).encode()))
    assert load_alerts(db, packed, load_preset("elastic")).alerts_inserted == 1


@pytest.mark.parametrize("indent", [None, 2])
def test_only_the_first_page_of_several_in_a_file_was_read(tmp_path: Path, indent: int | None) -> None:
    pages = [{"data": [{"id": page}, {"id": page + 10}], "took": 1} for page in (1, 2, 3)]
    path = write(tmp_path, "\n".join(json.dumps(page, indent=indent) for page in pages))
    for layout in (Layout(format="json", rows="data"), Layout(format="jsonl", document_rows="data")):
        rows = [row.values["id"] for row in read_rows(path, layout) if isinstance(row, Row)]
        assert rows == [1, 11, 2, 12, 3, 13]


def test_a_document_that_is_cut_off_after_its_rows_was_taken_for_whole(tmp_path: Path) -> None:
    path = write(tmp_path, '{"data": [{"id": 1}], "next')
    with pytest.raises(LoadError, match=r"line 1.*not valid JSON"):
        list(read_rows(path, Layout(format="json", rows="data")))


def test_a_row_that_has_lists_is_not_taken_for_an_answer(tmp_path: Path) -> None:
    rows = [{"id": 1, "responders": [{"id": "a"}], "details": {"data": [{"id": "b"}]}}, {"id": 2}]
    path = write(tmp_path, "\n".join(map(json.dumps, rows)))
    found = list(read_rows(path, Layout(format="jsonl", document_rows="data")))
    assert [row.values for row in found if isinstance(row, Row)] == rows


@pytest.mark.parametrize("name", [f"x{n}" for n in (1, 30_000)])
def test_a_document_on_one_line_was_told_as_a_row_without_an_id(db: AlertDatabase, tmp_path: Path, name: str) -> None:
    event = {"eventid": "1", "clock": "1795000000", "value": "1", "name": name, "hosts": [{"host": "gw-3"}]}
    events = [event] * int(name[1:])
    path = write(tmp_path, json.dumps({"jsonrpc": "2.0", "result": events, "id": 1}) + "\n")
    with pytest.raises(
        LoadError, match="one JSON document, with its rows at result: write format: json, and rows: result"
    ):
        load_alerts(db, path, load_preset("zabbix"))


def test_an_odd_first_line_costs_itself_only(db: AlertDatabase, tmp_path: Path) -> None:
    event = {"eventid": "1", "clock": "1795000000", "value": "1", "severity": "4", "name": "Link down"}
    head = {"format": 2, "fields": [{"name": "eventid"}]}
    report = load_alerts(
        db,
        write(tmp_path, f"{json.dumps(head)}\n{json.dumps(event)}\n"),
        load_preset("zabbix"),
        reject_path=tmp_path / "rejects",
    )
    assert (report.alerts_inserted, report.rows_rejected) == (1, 1)
