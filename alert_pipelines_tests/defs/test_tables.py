"""Tables of the UI: what fits beside its name is left alone, what does not is broken between words."""

from alert_pipelines.defs.tables import PADDING, ROOM, table

LONG = "2 or more pending alerts of the same metadata.driver_id within 1440 minutes, and a reason that goes on and on"


def cells(*row: object) -> list[object]:
    [record] = table([str(number) for number in range(len(row))], [row]).records
    return list(record.data.values())


def test_a_long_text_took_the_room_of_dates_and_ids_which_wrapped() -> None:
    row = ("2026-11-29 16:16", "WEEK-20261129-1-00028", LONG)
    shown = cells(*row)
    assert shown[:2] == list(row[:2])
    widths = [max(map(len, str(cell).split("\n"))) for cell in shown]
    assert sum(widths) <= ROOM - PADDING * len(row)
    assert str(shown[2]).split() == LONG.split()


def test_what_fits_is_left_as_it_is() -> None:
    row = ("compliance", "closes   alerts\nof one source", 27, None)
    assert cells(*row) == list(row)


def test_a_word_too_long_for_any_column_is_broken_and_an_empty_table_is_one() -> None:
    [only] = cells("x" * 200)
    assert str(only).replace("\n", "") == "x" * 200
    assert not table(["rule"], []).records


def test_an_age_stays_in_one_line() -> None:
    age = "1\N{NO-BREAK SPACE}day\N{NO-BREAK SPACE}3\N{NO-BREAK SPACE}h"
    assert cells(age, f"{LONG} {LONG}")[0] == age


def test_a_column_is_of_the_kind_of_the_first_value_that_is_there() -> None:
    shown = table(
        ["rule", "alerts", "share", "written", "nothing"], [("a", None, None, True, None), ("b", 2, 0.5, False, None)]
    )
    assert [column.type for column in shown.schema.columns] == ["string", "int", "float", "bool", "string"]
