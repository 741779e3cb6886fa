"""`metrics write`: what is named as its file is written to, whatever it is, and replaced only where it is a file."""

import os
import threading
from pathlib import Path

import pytest

from alert_pipelines_tests.cli.conftest import Run
from alert_pipelines_tests.patience import LIMIT_S


def test_a_pipe_was_replaced_by_a_file(run: Run, environment: Path) -> None:
    pipe = environment / "alerts.prom"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    run("metrics", "write", str(pipe))
    reader.join(LIMIT_S)
    assert pipe.is_fifo()
    assert "alert_pipelines_up 1.0" in read[0]


def test_a_link_was_replaced_by_a_file(run: Run, environment: Path) -> None:
    behind, link = environment / "behind.prom", environment / "link.prom"
    behind.write_text("as it was")
    link.symlink_to(behind)
    run("metrics", "write", str(link))
    assert link.is_symlink()
    assert "alert_pipelines_up 1.0" in behind.read_text()
    assert sorted(path.name for path in environment.iterdir() if path.is_file()) == ["behind.prom", "link.prom"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could replace a device, and only root can make one")
def test_the_null_device_was_replaced_by_a_file(run: Run, environment: Path) -> None:
    device = environment / "null"
    try:
        os.mknod(device, 0o666 | 0o020000, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("this root may make no device")
    run("metrics", "write", str(device))
    assert device.is_char_device()
