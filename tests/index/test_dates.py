from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.dates import (
    MAX_MS,
    MIN_MS,
    format_date,
    looks_like_date,
    parse_date,
    resolve_date,
    resolve_date_up,
)
from index.errors import InvalidQueryError, MappingError


def ms(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-02-29", ms(2024, 2, 29)),
        ("2024-02", ms(2024, 2, 1)),
        ("2024", ms(2024, 1, 1)),
        ("2024-02-29T13", ms(2024, 2, 29, 13)),
        ("2024-02-29T13:14:15Z", ms(2024, 2, 29, 13, 14, 15)),
        ("2024-02-29T13:14:15.678Z", ms(2024, 2, 29, 13, 14, 15) + 678),
        ("2024-02-29T13:14:15.6789123+02:00", ms(2024, 2, 29, 11, 14, 15) + 678),
        ("2024-02-29T13:14:15-0130", ms(2024, 2, 29, 14, 44, 15)),
        (1_700_000_000_000, 1_700_000_000_000),
        ("1700000000000", 1_700_000_000_000),
        (-1, -1),
    ],
)
def test_the_default_format(value: object, expected: int) -> None:
    assert parse_date(value) == expected


@pytest.mark.parametrize(
    ("value", "format", "expected"),
    [
        (1_700_000_000, "epoch_second", 1_700_000_000_000),
        ("20240229", "basic_date", ms(2024, 2, 29)),
        ("29/02/2024 13:14", "dd/MM/yyyy HH:mm", ms(2024, 2, 29, 13, 14)),
        ("2024-02-29T13:14:15.678Z", "date_time", ms(2024, 2, 29, 13, 14, 15) + 678),
        ("at 7 o'clock", "'at' H 'o''clock'", ms(1970, 1, 1, 7)),
        ("3.4.21", "d.M.yy", ms(2021, 4, 3)),
        ("5", "yyyy||epoch_millis", 5),
    ],
)
def test_a_format_of_ones_own(value: object, format: str, expected: int) -> None:
    assert parse_date(value, format) == expected


@pytest.mark.parametrize(
    "value",
    ["", "yesterday", "2023-02-29", "2024-13-01", "2024-02-29 13:14", "24-02-29", True, [], 1e300,
     "2024-02-29T25:00:00Z", "2024-W01-1", "2024-02-29T13:14:15+1Z", "2024-02-29\n",
     "9" * 18, "٢٠٢٤"],
)  # fmt: skip
def test_what_is_no_date_is_a_mapping_error(value: object) -> None:
    with pytest.raises(MappingError, match="failed to parse date"):
        parse_date(value)


@given(st.integers(MIN_MS, MAX_MS))
def test_a_date_survives_being_written(moment: int) -> None:
    assert parse_date(format_date(moment)) == moment


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2024-02-29", True), ("2024/02/29", True), ("2024/02/29 10:11:12 Z", True),
     ("2024-02-29T01:02:03Z", True), ("2024", False), ("1.5", False), ("1700000000000", False),
     ("2024-02-29-x", False), ("", False), ("abc", False), ("2024-02-30", False)],
)  # fmt: skip
def test_what_dynamic_mapping_takes_for_a_date(text: str, expected: bool) -> None:
    assert looks_like_date(text) == expected


NOW = ms(2024, 2, 29, 13, 14, 15) + 500


@pytest.mark.parametrize(
    ("text", "down", "up"),
    [
        ("now", NOW, NOW),
        ("now-1d", NOW - 86_400_000, NOW - 86_400_000),
        ("now/d", ms(2024, 2, 29), ms(2024, 3, 1) - 1),
        ("now-1M/M", ms(2024, 1, 1), ms(2024, 2, 1) - 1),
        ("now+1y", ms(2025, 2, 28, 13, 14, 15) + 500, ms(2025, 2, 28, 13, 14, 15) + 500),
        ("now/w", ms(2024, 2, 26), ms(2024, 3, 4) - 1),
        ("now/y", ms(2024, 1, 1), ms(2025, 1, 1) - 1),
        ("now/H", ms(2024, 2, 29, 13), ms(2024, 2, 29, 14) - 1),
        ("2024-01-31||+1M", ms(2024, 2, 29), ms(2024, 2, 29)),
        ("2024-01-31||/M", ms(2024, 1, 1), ms(2024, 2, 1) - 1),
        ("2024-01-31", ms(2024, 1, 31), ms(2024, 2, 1) - 1),
        ("2024-01", ms(2024, 1, 1), ms(2024, 2, 1) - 1),
        ("2024-01-31T10:11", ms(2024, 1, 31, 10, 11), ms(2024, 1, 31, 10, 12) - 1),
    ],
)
def test_date_math_rounds_down_or_up(text: str, down: int, up: int) -> None:
    assert resolve_date(text, now_ms=NOW) == down
    assert resolve_date_up(text, now_ms=NOW) == up


def test_a_number_is_taken_as_it_is() -> None:
    assert resolve_date(5, now_ms=NOW) == resolve_date_up(5, now_ms=NOW) == 5


@pytest.mark.parametrize(
    "text", ["now+", "now-1x", "nowhere", "now/5", "2024||+1q", "now+999999999y", "x||+1d", None]
)
def test_bad_date_math_is_a_query_error(text: object) -> None:
    with pytest.raises(InvalidQueryError):
        resolve_date(text, now_ms=NOW)


@given(st.text("0123456789-:.TZ+W", max_size=26))
def test_the_fast_way_reads_what_the_pattern_reads(text: str) -> None:
    def read(format: str) -> int | None:
        try:
            return parse_date(text, format)
        except MappingError:
            return None

    # the same pattern under a name that has no fast way
    assert read("strict_date_optional_time") == read("strict_date_optional_time_nanos")


@given(st.datetimes(), st.sampled_from(["T%H:%M:%SZ", "", "T%H:%M:%S.123Z", "T%H:%M"]))
def test_usual_shapes_are_read(moment: datetime, time: str) -> None:
    text = f"{moment.year:04d}-{moment:%m-%d}" + moment.strftime(time)
    assert parse_date(text) == parse_date(text, "strict_date_optional_time_nanos")
