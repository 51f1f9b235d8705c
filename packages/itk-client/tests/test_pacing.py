"""Waiting: cadences, retries and what servers ask for."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itk_client import PAGE_CADENCE, SDK_CADENCE, RetryPolicy
from itk_client.pacing import retry_after_seconds

AGES = st.floats(0, 1e6)
CHANCES = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("age", "seconds"), [(0, 1), (9, 1), (10, 2), (59, 2), (60, 5), (599, 5), (600, 10), (9e9, 10)]
)
def test_looks_become_rarer(age, seconds):
    """The SDK looks every 1, 2, 5, then 10 seconds."""
    assert SDK_CADENCE.pause_seconds(age, chance=0.5) == pytest.approx(seconds)


@pytest.mark.parametrize(("age", "seconds"), [(0, 2), (59, 2), (60, 5), (599, 5), (601, 10)])
def test_the_page_looks_as_designed(age, seconds):
    """The page looks every 2 s for a minute, 5 s for ten minutes, then 10 s, without jitter."""
    assert PAGE_CADENCE.pause_seconds(age, chance=0.99) == seconds


@given(AGES, CHANCES)
def test_jitter_stays_within_a_fifth(age, chance):
    """Jitter moves a wait by at most 20 percent, and never to zero."""
    middle = SDK_CADENCE.pause_seconds(age, chance=0.5)
    assert 0.8 * middle <= SDK_CADENCE.pause_seconds(age, chance=chance) <= 1.2 * middle


@given(st.integers(-5, 10**6), CHANCES)
def test_back_off_is_bounded(failures, chance):
    """However often it failed, the wait lies between half the first and the longest."""
    policy = RetryPolicy()
    assert 0.25 <= policy.pause_seconds(failures, chance=chance) <= policy.longest_seconds


NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"retry-after": " 0 "}, 0),
        ({"Retry-After": "Sun, 01 Mar 2026 12:00:30 GMT"}, 30),
        ({"Retry-After": "Sun, 01 Mar 2026 11:00:00 GMT"}, 0),
        ({"Retry-After": "9" * 400}, float("inf")),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "٣"}, None),
        ({"Retry-After": ""}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_every_form(headers, seconds):
    """Seconds and dates are understood; anything else counts as not said."""
    assert retry_after_seconds(headers, now=NOW) == seconds


def test_a_wrong_clock_here_does_not_matter():
    """A Retry-After date is compared with the server's own Date."""
    headers = {
        "Retry-After": "Sun, 01 Mar 2026 12:00:30 GMT",
        "Date": "Sun, 01 Mar 2026 12:00:10 GMT",
    }
    assert retry_after_seconds(headers, now=datetime(1999, 1, 1, tzinfo=UTC)) == 20


@given(st.text(max_size=60))
def test_no_header_breaks_it(text):
    """Whatever a server writes, the answer is None or a number that is not negative."""
    seconds = retry_after_seconds({"Retry-After": text}, now=NOW)
    assert seconds is None or seconds >= 0
