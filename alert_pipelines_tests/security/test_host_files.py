"""Files that a run's config names: none of the system's own; and no error shows what is in one that is no rules."""

from pathlib import Path

import pytest

from alert_pipelines.defs.host_files import host_file
from alert_pipelines.errors import ForbiddenFileError, RuleFileError
from alert_pipelines.rules.files import read_rules


@pytest.mark.parametrize(
    "text", ["/proc/self/environ", "/proc/../proc/1/environ", "//proc/self/environ", "/sys/kernel/version", "/dev/mem"]
)
def test_a_file_of_the_system(text: str) -> None:
    with pytest.raises(ForbiddenFileError, match="the system's own"):
        host_file(text)


def test_a_link_to_a_file_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").symlink_to("/proc/self/environ")
    with pytest.raises(ForbiddenFileError):
        host_file(str(tmp_path / "rules.yaml"))


def test_a_file_of_a_person(tmp_path: Path) -> None:
    assert host_file(str(tmp_path / "rules.yaml")) == tmp_path / "rules.yaml"


def test_a_file_of_settings_is_not_quoted(tmp_path: Path) -> None:
    settings = tmp_path / "settings.env"
    settings.write_text("MONGODB_URI=mongodb://scanner:s3cret@db/\n")
    with pytest.raises(RuleFileError, match="got a str") as refused:
        read_rules(settings)
    assert "s3cret" not in str(refused.value)
