"""Time zones, the beginnings of date buckets, and how dates and numbers are written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.aggregate.formats import date_text, number_text
from index.aggregate.rounding import Rounding, round_one
from index.aggregate.zones import read_zone
from index.dates import MAX_MS, MIN_MS, format_date, parse_date
from index.errors import InvalidQueryError
from tests.aggregate_oracle import calendar_floor, zone_offset

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata",
         "America/Sao_Paulo", "Africa/Casablanca", "Asia/Beirut", "UTC", "-09:30"]  # fmt: skip
UNITS = ["minute", "hour", "day", "week", "month", "quarter", "year"]
TIMES = st.integers(10**11, 19 * 10**11)


@st.composite
def near_changes(draw: st.DrawFn) -> tuple[str, int]:
    """A zone, and a time that is often close to a change of its offset."""
    zone, ms = draw(st.sampled_from(ZONES)), draw(TIMES)
    changes = read_zone(zone).stretches(ms - 200 * 86_400_000, ms + 200 * 86_400_000).starts[1:]
    if len(changes) and draw(st.booleans()):
        ms = int(draw(st.sampled_from(changes.tolist()))) + draw(st.integers(-7_200, 7_200)) * 1000
    return zone, ms // 1000 * 1000


@settings(deadline=None, max_examples=300)
@given(near_changes(), st.sampled_from(UNITS))
def test_a_calendar_unit_begins_where_local_clocks_say(drawn: tuple[str, int], unit: str) -> None:
    zone, ms = drawn
    rounding = Rounding(unit, read_zone(zone), 0)
    expected = calendar_floor(ms, unit, zone)
    assert round_one(rounding, ms) == expected
    assert rounding.beginnings(ms, ms)[0] == expected
    if unit in ("minute", "hour"):
        assert rounding.round(np.array([ms])).tolist() == [expected]


@settings(deadline=None, max_examples=100)
@given(near_changes(), st.sampled_from([*UNITS, 5_400_000, 36 * 3_600_000]))
def test_the_beginnings_cover_a_time_without_gap(drawn: tuple[str, int], unit: str) -> None:
    zone, ms = drawn
    if unit == "minute":
        return
    rounding = Rounding(unit, read_zone(zone), 3_600_000)
    high = ms + 40 * 86_400_000
    found = rounding.beginnings(ms, high)
    assert found[0] <= ms < found[1]
    assert found[-2] <= high < found[-1]
    assert (np.diff(found) > 0).all()
    times = np.arange(ms, high, 1_800_000 + 1)
    at = np.searchsorted(found, times, side="right") - 1
    assert [round_one(rounding, t) for t in times[:40].tolist()] == found[at[:40]].tolist()


@settings(deadline=None, max_examples=100)
@given(near_changes())
def test_a_zone_knows_its_offsets(drawn: tuple[str, int]) -> None:
    zone, ms = drawn
    assert read_zone(zone).offset_ms(ms) == zone_offset(zone, ms)
    starts, offsets = read_zone(zone).stretches(ms - 10**10, ms + 10**10)
    at = int(np.searchsorted(starts, ms, side="right")) - 1
    assert offsets[at] == zone_offset(zone, ms)


def test_the_ends_of_the_calendar_have_buckets_too() -> None:
    for unit in ("day", "month", "year"):
        rounding = Rounding(unit, read_zone("Asia/Tokyo"), 0)
        assert round_one(rounding, MAX_MS) <= MAX_MS
        assert round_one(rounding, MIN_MS) <= MIN_MS


@pytest.mark.parametrize("name", ["Mars/Olympus", "+25:00", "/etc/passwd", "", "\0", "+1:2:3"])
def test_other_zones_are_refused(name: str) -> None:
    with pytest.raises(InvalidQueryError):
        read_zone(name)


@pytest.mark.parametrize(
    ("format", "zone", "text"),
    [
        (None, "UTC", "2024-02-05T13:07:09.042Z"),
        ("strict_date_optional_time||epoch_millis", "+01:00", "2024-02-05T14:07:09.042+01:00"),
        ("yyyy-MM-dd HH:mm:ss.SSS", "UTC", "2024-02-05 13:07:09.042"),
        ("d/M/yy h:mm a", "UTC", "5/2/24 1:07 PM"),
        ("EEE, dd MMM uuuu HH:mm Z", "-02:30", "Mon, 05 Feb 2024 10:37 -0230"),
        ("xxxx-'W'ww-e", "UTC", "2024-W06-1"),
        ("'it''s' yyyy", "UTC", "it's 2024"),
        ("basic_date_time_no_millis", "UTC", "20240205T130709Z"),
        ("epoch_second", "UTC", "1707138429"),
        ("epoch_millis", "UTC", "1707138429042"),
        ("yyyy QQQ", "UTC", None),
    ],
)
def test_dates_are_written_by_patterns(format: str | None, zone: str, text: str | None) -> None:
    ms = parse_date("2024-02-05T13:07:09.042Z")
    if text is None:
        with pytest.raises(InvalidQueryError):
            date_text(format, read_zone(zone))
    else:
        assert date_text(format, read_zone(zone))(ms) == text


@settings(deadline=None, max_examples=100)
@given(st.integers(MIN_MS, MAX_MS))
def test_the_default_format_is_that_of_documents(ms: int) -> None:
    assert date_text(None, read_zone(None))(ms) == format_date(ms)


@pytest.mark.parametrize(
    ("format", "value", "text"),
    [
        ("0.00", 3.14159, "3.14"),
        ("#,##0.#", 1234567.0, "1,234,567"),
        ("#,##0.#", -1234.56, "-1,234.6"),
        ("000", 7, "007"),
        ("$0.00", 5, "$5.00"),
        ("0.0%", 0.256, "25.6%"),
        ("#.##", 0.5, ".5"),
        ("0", -0.2, "0"),
        ("none", 1, None),
    ],
)
def test_numbers_are_written_by_patterns(format: str, value: float, text: str | None) -> None:
    if text is None:
        with pytest.raises(InvalidQueryError):
            number_text(format)
    else:
        assert number_text(format)(value) == text
