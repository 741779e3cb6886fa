"""Files in other encodings than UTF-8: what a draft takes them for, and how to name another."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from alert_pipelines.cli.root import cli
from alert_pipelines.loading.draft import draft_mapping

RUSSIAN = ("Водитель", "Иванов", "Превышение скорости", "Петров", "Низкое давление")
JAPANESE = ("運転手", "田中太郎", "速度超過", "山本", "タイヤ空気圧低下")


def write(path: Path, names: tuple[str, ...], encoding: str) -> Path:
    column, *values = names
    rows = "".join(f"{n},2026-01-01 10:0{n},{value}\n" for n, value in enumerate(values))
    path.write_bytes(f"id,created,{column}\n{rows}".encode(encoding))
    return path


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("cp1251", RUSSIAN),
        ("koi8_r", RUSSIAN),
        ("shift_jis", JAPANESE),
        ("euc_jp", JAPANESE),
        ("gbk", ("司机", "王小明", "超速行驶", "李雷", "胎压过低")),
        ("big5", ("司機", "王小明", "超速行駛", "李雷", "胎壓過低")),
        ("euc_kr", ("운전자", "김철수", "속도 위반", "이영희", "타이어 압력")),
        ("cp1253", ("Οδηγός", "Γιώργος", "Υπέρβαση ταχύτητας")),
        ("cp1256", ("السائق", "محمد", "تجاوز السرعة")),
        ("cp1252", ("Fahrer", "Müller", "Jörg", "François", "Núñez", "João", "50 €")),
        ("cp1252", ("Fahrer", "Köln")),
    ],
)
def test_a_file_in_another_script_was_taken_for_cp1252(tmp_path: Path, encoding: str, names: tuple[str, ...]) -> None:
    drafted = draft_mapping(write(tmp_path / "a.csv", names, encoding))
    assert all(name in drafted for name in names[:4]), drafted


@pytest.mark.parametrize("encoding", ["cp1250", "mac_roman", "utf-32", "utf-16-le"])
def test_an_encoding_that_was_guessed_wrong_could_not_be_named(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path / "a.csv", ("Löwe", "Größe"), encoding)
    result = CliRunner().invoke(cli, ["mapping", "draft", str(path), "--encoding", encoding])
    assert f"encoding: {encoding}  # if names or values look wrong, draft again with --encoding NAME" in result.output
    assert "Größe" in result.output


def test_a_name_that_is_no_encoding_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ("a", "b"), "utf-8")
    result = CliRunner().invoke(cli, ["mapping", "draft", str(path), "--encoding", "rot13"])
    assert (result.exit_code, "'rot13' is not a valid text encoding" in result.output) == (2, True)
