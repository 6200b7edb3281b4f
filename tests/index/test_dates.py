from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.dates import (
    MAX_MS,
    MIN_MS,
    check_format,
    format_date,
    looks_like_date,
    parse_date,
    resolve_date,
    resolve_date_up,
)
from index.errors import InvalidQueryError, MappingError
from index.zones import read_offsets, to_utc


def ms(year: int, month: int = 1, day: int = 1, *time: int) -> int:
    return int(datetime(year, month, day, *time, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc,arg-type]


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
        ("1.5", "epoch_second", 1_500),
        ("29 Feb 2024", "dd MMM yyyy", ms(2024, 2, 29)),
        ("february 2024", "MMMM uuuu", ms(2024, 2, 1)),
        (
            "Thu, 29 Feb 2024 13:14:15 +0000",
            "EEE, dd MMM yyyy HH:mm:ss Z",
            ms(2024, 2, 29, 13, 14, 15),
        ),
        ("2024-02-29 01:05 PM", "yyyy-MM-dd hh:mm a", ms(2024, 2, 29, 13, 5)),
        ("12 AM", "h a", ms(1970, 1, 1)),
        ("2024-060", "ordinal_date", ms(2024, 2, 29)),
        ("2024-W09-4", "strict_week_date", ms(2024, 2, 29)),
        ("2024W094", "basic_week_date", ms(2024, 2, 29)),
        ("131415Z", "basic_time_no_millis", ms(1970, 1, 1, 13, 14, 15)),
        ("2024-02-29", "yyyy-MM-dd[ HH:mm]", ms(2024, 2, 29)),
        ("2024-02-29 13:14", "yyyy-MM-dd[ HH:mm]", ms(2024, 2, 29, 13, 14)),
        ("2024-02-29 13:14:15+02:00", "rfc3339_lenient", ms(2024, 2, 29, 11, 14, 15)),
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
        ("2024-01", ms(2024, 1, 1), ms(2024, 1, 2) - 1),
        ("2024", ms(2024, 1, 1), ms(2024, 1, 2) - 1),
        ("2024-01||/M", ms(2024, 1, 1), ms(2024, 2, 1) - 1),
        ("2024-01-31T10", ms(2024, 1, 31, 10), ms(2024, 1, 31, 11) - 1),
        ("2024-01-31T10:11:12", ms(2024, 1, 31, 10, 11, 12), ms(2024, 1, 31, 10, 11, 13) - 1),
        ("2024-01-31T10:11:12.5", *[ms(2024, 1, 31, 10, 11, 12) + 500] * 2),
        ("now-1d/d", ms(2024, 2, 28), ms(2024, 2, 29) - 1),
        ("now/d-1h", ms(2024, 2, 28, 23), ms(2024, 2, 29, 23) - 1),
        ("2024-01-31T10:00:00+02:00||/d", ms(2024, 1, 31), ms(2024, 2, 1) - 1),
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


@pytest.mark.parametrize(
    ("value", "format"),
    [("2023-366", "yyyy-DDD"), ("13 PM", "hh a"), ("0 AM", "h a"), ("2024-W54", "xxxx-'W'ww"),
     ("30 Feb 2024", "dd MMM yyyy"), ("2024-02-29 13", "yyyy-MM-dd[ HH:mm]")],
)  # fmt: skip
def test_what_no_calendar_has_is_no_date(value: str, format: str) -> None:
    with pytest.raises(MappingError, match="failed to parse date"):
        parse_date(value, format)


@pytest.mark.parametrize("format", ["yyyyy", "yyyy yyyy", "yyyy[MM", "yyyy]MM", "q", "x" * 600])
def test_a_format_that_cannot_be_understood_is_refused(format: str) -> None:
    with pytest.raises(MappingError, match="date format"):
        check_format(format)


@pytest.mark.parametrize(
    ("text", "format", "up"),
    [
        ("2024/02", "yyyy/MM", ms(2024, 2, 2) - 1),
        ("29.02.2024", "dd.MM.yyyy", ms(2024, 3, 1) - 1),
        ("29.02.2024 13", "dd.MM.yyyy HH", ms(2024, 2, 29, 14) - 1),
        ("1709212455", "epoch_second", 1_709_212_455_000),
    ],
)
def test_a_format_of_ones_own_is_rounded_up_too(text: str, format: str, up: int) -> None:
    assert resolve_date_up(text, now_ms=NOW, format=format) == up


@pytest.mark.parametrize(
    ("text", "zone", "down", "up"),
    [
        ("2024-02-29", "+01:00", ms(2024, 2, 28, 23), ms(2024, 2, 29, 23) - 1),
        ("2024-02-29T12:00:00Z", "+01:00", ms(2024, 2, 29, 12), ms(2024, 2, 29, 12) + 999),
        ("now/d", "-05:00", ms(2024, 2, 29, 5), ms(2024, 3, 1, 5) - 1),
        ("now", "-05:00", NOW, NOW),
        ("2024-07-01", "Europe/Berlin", ms(2024, 6, 30, 22), ms(2024, 7, 1, 22) - 1),
        ("2024-01-01", "Europe/Berlin", ms(2023, 12, 31, 23), ms(2024, 1, 1, 23) - 1),
        # a day of 23 hours: the clocks are put forward
        ("2024-03-31||/d", "Europe/Berlin", ms(2024, 3, 30, 23), ms(2024, 3, 31, 22) - 1),
        ("2024-03-30||+1d", "Europe/Berlin", ms(2024, 3, 30, 23), ms(2024, 3, 30, 23)),
        ("1709212455500", "Europe/Berlin", NOW, NOW),
    ],
)
def test_days_begin_where_the_time_zone_says(text: str, zone: str, down: int, up: int) -> None:
    assert resolve_date(text, now_ms=NOW, time_zone=zone) == down
    assert resolve_date_up(text, now_ms=NOW, time_zone=zone) == up


@pytest.mark.parametrize(
    "zone", ["Mars/Olympus", "+25:00", "../etc/passwd", "", "+01:99", "x" * 999]
)
def test_an_unknown_time_zone_is_a_query_error(zone: str) -> None:
    with pytest.raises(InvalidQueryError, match="time_zone"):
        resolve_date("2024", now_ms=NOW, time_zone=zone)


@given(
    st.one_of(
        st.text(max_size=60),
        st.text("now0123456789-+/|yMwdhHmsTZ:.", max_size=60).map("now".__add__),
        st.text("0123456789-+/|yMwdhHmsTZ:.", max_size=60),
        st.integers(),
        st.floats(),
    ),
    st.sampled_from([None, "epoch_second", "yyyy-MM-dd", "dd MMM yyyy HH:mm", "xxxx-'W'ww"]),
    st.sampled_from([None, "+05:30", "America/New_York"]),
)
def test_hostile_dates_are_dates_or_query_errors(value: object, format: str, zone: str) -> None:
    try:
        down = resolve_date(value, now_ms=NOW, format=format, time_zone=zone)
        up = resolve_date_up(value, now_ms=NOW, format=format, time_zone=zone)
    except InvalidQueryError:
        return
    assert down <= up


def test_endless_date_math_is_refused_at_once() -> None:
    with pytest.raises(InvalidQueryError, match="too long"):
        resolve_date("now" + "+1d" * 1_000_000, now_ms=NOW)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "+05:30", None])
@given(moment=st.integers(ms(1975), ms(2037)))
def test_local_time_leads_back_to_its_moment(zone: str | None, moment: int) -> None:
    offset_at = read_offsets(zone)
    local = moment + offset_at(moment)
    back = to_utc(local, offset_at)
    # of an hour that comes twice the first is meant
    assert back == moment or (back < moment and back + offset_at(back) == local)
