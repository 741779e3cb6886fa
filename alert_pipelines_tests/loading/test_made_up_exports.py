"""Exports as people's tools write them: drafted, corrected in five lines at most, checked, loaded twice, updated."""

import gzip
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from alert_pipelines.loading import load_alerts, load_mapping, preview
from alert_pipelines.loading.draft import draft_mapping
from alert_pipelines.mongo import AlertDatabase

from .loads import counts


class Export(NamedTuple):
    """A file, what a person changes in its draft, and its alerts: id, beginning, status; `bad` rows are rejected."""

    name: str
    content: bytes
    edits: dict[str, str]
    alerts: tuple[str, ...]
    bad: int = 0


def text(
    name: str,
    content: str,
    *alerts: str,
    encoding: str = "utf-8",
    bad: int = 0,
    edits: dict[str, str] | None = None,
) -> Export:
    return Export(name, content.encode(encoding), edits or {}, alerts, bad)


def document(name: str, content: Any, *alerts: str) -> Export:
    return Export(name, json.dumps(content, indent=1).encode(), {}, alerts)


def lines(*rows: dict[str, Any], end: str = "\n") -> str:
    return "".join(json.dumps(row) + end for row in rows)


HIT = {"kibana.alert.severity": "high", "kibana.alert.start": "2026-03-01T08:15:00.000Z", "tags": ["a"]}
EXPORTS = (
    document(
        "elastic_search.json",
        {
            "took": 3,
            "hits": {
                "total": {"value": 2},
                "hits": [
                    {"_id": "a1", "_source": {**HIT, "kibana.alert.status": "active"}, "sort": [1]},
                    {"_id": "a2", "_source": {**HIT, "kibana.alert.status": "recovered"}, "sort": [2]},
                ],
            },
        },
        "a1 2026-03-01T08:15 OPEN",
        "a2 2026-03-01T08:15 RESOLVED",
    ),
    document(
        "alertmanager_api.json",
        [
            {
                "fingerprint": f"f{n}",
                "startsAt": "2026-02-01T09:00:00.123Z",
                "endsAt": "2026-02-01T10:04:00.000Z",
                "status": {"state": "active", "silencedBy": []},
                "labels": {"severity": severity},
            }
            for n, severity in enumerate(["critical", "info"])
        ],
        "f0 2026-02-01T09:00 OPEN",
        "f1 2026-02-01T09:00 OPEN",
    ),
    document(
        "servicenow.json",
        {"result": [{"number": "INC1", "priority": "1", "opened_at": "2026-01-01 10:00:00", "closed_at": ""}]},
        "INC1 2026-01-01T10:00 OPEN",
    ),
    document(
        "datadog.json",
        {"data": [{"id": "AQ1", "attributes": {"timestamp": "2026-01-01T10:00:00.000Z", "tags": ["env:prod"]}}]},
        "AQ1 2026-01-01T10:00 OPEN",
    ),
    document(
        "mongoexport.json",
        [{"_id": {"$oid": "65"}, "alert_id": "M1", "timestamp": {"$date": "2026-01-01T10:00:00Z"}, "status": "OPEN"}],
        "M1 2026-01-01T10:00 OPEN",
    ),
    text(
        "grafana.ndjson",
        lines(
            {"uid": "u0", "state": "Alerting", "startsAt": 1767225600000},
            {"uid": "u1", "state": "Normal", "startsAt": 1767225660000},
        )
        + '{"uid": "u2", "sta',
        "u0 2026-01-01T00:00 OPEN",
        "u1 2026-01-01T00:01 RESOLVED",
        bad=1,
    ),
    text(
        "windows.jsonl",
        lines({"id": "b0", "created": "2026-01-02 10:00:00"}, end="\r\n"),
        "b0 2026-01-02T10:00 OPEN",
        encoding="utf-8-sig",
    ),
    text("gelf.jsonl", lines({"_id": "g0", "timestamp": 1767225600.123, "level": 3}), "g0 2026-01-01T00:00 OPEN"),
    text(
        "excel.csv",
        "Bericht;;;\r\nVorgang;Datum;Uhrzeit;km/h;Status\r\nV1;01.02.2026;08:30;80,5;offen\r\n"
        "V2;13.02.2026;09:30;1.080,5;erledigt\r\n",
        "V1 2026-02-01T07:30 OPEN",
        "V2 2026-02-13T08:30 RESOLVED",
        encoding="cp1252",
        edits={"zone: UTC": "zone: Europe/Berlin"},
    ),
    text(
        "umlaute.csv",
        "id;Fahrer;Beginn\nA;Müller;2026-01-01 10:00\n",
        "A 2026-01-01T10:00 OPEN",
        encoding="cp1252",
    ),
    text(
        "bom.tsv",
        "Alert ID\tRaised\tVehicle\nA1\t1/13/2026 1:30 PM\tVÜ\nA2\t2/3/2026 12:05 AM\tVÜ\n",
        "A1 2026-01-13T13:30 OPEN",
        "A2 2026-02-03T00:05 OPEN",
        encoding="utf-16",
    ),
    text(
        "notes.csv",
        'ticket;opened;closed;note\r\n1;2026-01-01T07:00:00+01:00;;"one\r\n""two""; three"\r\n'
        '2;2026-01-01T07:00:00+01:00;2026-01-01T09:00:00+01:00;""\r\n',
        "1 2026-01-01T06:00 OPEN",
        "2 2026-01-01T06:00 RESOLVED",
    ),
    text(
        "us.csv",
        "id,raised\n1,1/2/2026 0:05\n2,1/13/2026 9:05\n",
        "1 2026-01-02T00:05 OPEN",
        "2 2026-01-13T09:05 OPEN",
    ),
    text(
        "eu.csv",
        "id,raised\n1,01-02-2026 10:05:09\n2,13-02-2026 10:05:09\n",
        "1 2026-02-01T10:05 OPEN",
        "2 2026-02-13T10:05 OPEN",
    ),
    text("micro.csv", "event_id,ts\ne,1767225600000000\n", "e 2026-01-01T00:00 OPEN"),
    text("nano.csv", "event_id,ts\ne,1767225600000000000\n", "e 2026-01-01T00:00 OPEN"),
    text(
        "zone.csv",
        "id,when,tz\nz,2026-01-01T10:00:00,Europe/Vienna\n",
        "z 2026-01-01T09:00 OPEN",
        edits={"zone: UTC": "zone: Europe/Vienna"},
    ),
    text(
        "offset.csv",
        "id,Date,Time,Off\na,2026-01-01,10:00:00,+01:00\n",
        "a 2026-01-01T09:00 OPEN",
        edits={"{Time}": "{Time}{Off}"},
    ),
    text(
        "clock.csv",
        "id,start,took\nd,2026-01-01T10:00:00Z,00:10:05\n",
        "d 2026-01-01T10:00 RESOLVED",
        edits={"timestamp:": "resolved_at: {after: took}\ntimestamp:"},
    ),
    text(
        "minutes.csv",
        "id,start,took\nd,2026-01-01T10:00:00Z,90\n",
        "d 2026-01-01T10:00 RESOLVED",
        edits={"timestamp:": "resolved_at: {after: took, unit: minutes}\ntimestamp:"},
    ),
    text(
        "twice.csv",
        "id,created\nd,2026-01-01T10:00Z\nd,2026-01-01T11:00Z\n",
        "d 2026-01-01T10:00 OPEN",
        edits={"{content_hash: TWICE}": "{column: id}"},
    ),
    text("sep.csv", "sep=;\r\nid;created\r\ns;2026-01-01 10:00\r\n", "s 2026-01-01T10:00 OPEN"),
    text("pipe.txt", "id|created\ns|20260101103000\n", "s 2026-01-01T10:30 OPEN"),
    text("psql.csv", "id,created_at\n1,2026-01-01 10:00:00.123456+00\n", "1 2026-01-01T10:00 OPEN"),
    text("access.csv", "id,at\na,01/Jan/2026:10:00:00 +0100\n", "a 2026-01-01T09:00 OPEN"),
    text("mail.csv", 'id,at\na,"Thu, 01 Jan 2026 10:00:00 +0100"\n', "a 2026-01-01T09:00 OPEN"),
    text("dots.csv", "$id,created.at\ns,2026-01-01T10:00:00Z\n", "s 2026-01-01T10:00 OPEN"),
    text(
        "footer.csv",
        "id,created\n" + "".join(f"s{n},2026-01-01 10:0{n}\n" for n in range(5)) + "\nPage 1 of 1\n",
        *(f"s{n} 2026-01-01T10:0{n} OPEN" for n in range(5)),
        bad=1,
    ),
)
PACKED = [
    Export(f"{each.name}.gz", gzip.compress(each.content), each.edits, each.alerts, each.bad)
    for each in EXPORTS
    if each.name in ("elastic_search.json", "grafana.ndjson", "excel.csv", "bom.tsv", "notes.csv")
]


@pytest.mark.parametrize("export", [*EXPORTS, *PACKED], ids=lambda export: export.name)
def test_an_export_is_drafted_corrected_checked_loaded_loaded_again_and_updated(
    db: AlertDatabase, tmp_path: Path, export: Export
) -> None:
    path = tmp_path / export.name
    path.write_bytes(export.content)
    drafted = draft_mapping(path)
    for found, instead in export.edits.items():
        assert drafted.count(found) == 1, drafted
        drafted = drafted.replace(found, instead)
    (tmp_path / "mapping.yaml").write_text(drafted)
    mapping, bad = load_mapping(tmp_path / "mapping.yaml"), tmp_path / "bad.jsonl"

    checked = preview(path, mapping)
    assert (checked.fault, checked.broken, checked.rows_rejected) == (None, None, export.bad), checked.reject_reasons
    rows, new = len(checked.alerts), len(export.alerts)
    loads = [load_alerts(db, path, mapping, reject_path=bad, update=update) for update in (False, False, True)]
    assert [counts(each)[1:4] for each in loads] == [
        (new, rows - new, export.bad),
        (0, rows, export.bad),
        (0, rows, export.bad),
    ]
    assert [(each.alerts_updated, each.alerts_differ) for each in loads] == [(0, 0)] * 3
    stored = db.alerts.find().sort("alert_id")
    told = [f"{each['alert_id']} {each['timestamp'].isoformat()[:16]} {each['status']}" for each in stored]
    assert told == sorted(export.alerts)
