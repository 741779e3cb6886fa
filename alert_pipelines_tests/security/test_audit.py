"""`scripts/audit`, with the real pip-audit asking a small service of vulnerabilities: only a clean answer is clean."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from alert_pipelines_tests.dagster_processes import CHECKOUT
from alert_pipelines_tests.mongo.proxy import silent_server
from alert_pipelines_tests.patience import LIMIT_S

VULNERABLE = {
    "id": "PYSEC-2099-1",
    "summary": "a hole",
    "affected": [
        {
            "package": {"name": "click", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}],
        }
    ],
}


@contextmanager
def service(vulnerable: str | None, status: int = 200) -> Iterator[int]:
    """A service that knows of one hole in the package `vulnerable`; the port it listens on."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
            answer = json.dumps({"vulns": [VULNERABLE]} if asked == vulnerable else {}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "some.lock"
    path.write_text("".join(f"{name} --hash=sha256:{'0' * 64}\n" for name in ("click==8.1.8", "pyyaml==6.0.2")))
    return path


def audit(port: int, lock: Path | None, **env: str) -> subprocess.CompletedProcess[str]:
    settings = {"PIP_AUDIT_OSV_URL": f"http://127.0.0.1:{port}/v1/query", **env}
    command = [str(CHECKOUT / "scripts" / "audit"), *([str(lock)] if lock else [])]
    return subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


@pytest.mark.slow
def test_what_a_deployment_runs_is_clean_where_nothing_is_known_of_it() -> None:
    with service(None) as port:
        done = audit(port, None)
    assert (done.returncode, done.stderr) == (0, "")
    assert "deploy/requirements.lock: no vulnerability is known" in done.stdout


def test_a_known_vulnerability_fails(lock: Path) -> None:
    with service("click") as port:
        done = audit(port, lock)
    assert (done.returncode, done.stdout) == (1, "")
    assert "VULNERABLE" in done.stderr
    assert "click 8.1.8: PYSEC-2099-1, mended in 99.1" in done.stderr


@pytest.mark.parametrize(("required", "code"), [("", 0), ("1", 1)])
@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param("refuses", marks=pytest.mark.slow),
        "fails",
        pytest.param("says nothing", marks=pytest.mark.process),
    ],
)
def test_a_service_that_cannot_be_asked_is_no_clean_audit(lock: Path, trouble: str, required: str, code: int) -> None:
    services: dict[str, AbstractContextManager[int]] = {
        "refuses": black_port(),
        "fails": service(None, status=503),
        "says nothing": silent_server(),
    }
    with services[trouble] as port:
        done = audit(port, lock, AUDIT_REQUIRED=required)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"NOT AUDITED: {lock}: pip-audit has no answer")


@contextmanager
def black_port() -> Iterator[int]:
    """A port at which nobody listens."""
    with service(None) as port:
        pass
    yield port


@pytest.mark.slow
@pytest.mark.parametrize(("required", "code"), [("", 0), ("1", 1)])
def test_a_lock_that_pins_nothing_is_no_clean_audit(lock: Path, required: str, code: int) -> None:
    lock.write_text("click\n")
    with service(None) as port:
        done = audit(port, lock, AUDIT_REQUIRED=required)
    assert (done.returncode, done.stdout) == (code, "")
    assert "hashed requirements" in done.stderr
