"""A file that is written is whole or as it was before, and nothing else is ever replaced by one."""

import subprocess
import sys
from pathlib import Path

import pytest

from alert_pipelines.files import write_file
from alert_pipelines_tests.patience import LIMIT_S

WRITE = "import sys; from pathlib import Path; from alert_pipelines.files import write_file\n"


def test_what_a_shell_redirected_reaches_the_file_that_is_open(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from alert_pipelines.files import write_file; write_file(Path('/dev/stdout'), 'x')"
    )
    with (tmp_path / "out").open("w") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True, timeout=LIMIT_S)
    assert (tmp_path / "out").read_text() == "x"


def test_a_file_that_could_not_be_written_whole_stays_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "rules.yaml"
    target.write_text("as it was")
    with pytest.raises(UnicodeEncodeError):
        write_file(target, "\ud800")
    # RLIMIT_FSIZE stands for the disk that is full; it concerns a process, so another one.
    code = (
        f"{WRITE}import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        "write_file(Path(sys.argv[1]), 'x' * 100)"
    )
    command = [sys.executable, "-c", code, str(target)]
    failed = subprocess.run(command, check=False, capture_output=True, text=True, timeout=LIMIT_S)
    assert "File too large" in failed.stderr
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("rules.yaml", "as it was")]


def test_a_file_keeps_its_permissions_and_a_new_one_gets_the_usual(tmp_path: Path) -> None:
    kept, new = tmp_path / "kept", tmp_path / "new"
    kept.write_text("")
    kept.chmod(0o640)
    (tmp_path / "usual").touch()
    write_file(kept, "x")
    write_file(new, "x")
    assert kept.stat().st_mode & 0o777 == 0o640
    assert new.stat().st_mode == (tmp_path / "usual").stat().st_mode
