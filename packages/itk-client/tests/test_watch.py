"""Following a job: each thing once, in order, and never for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itk_client import (
    AuthError,
    ConnectionFailedError,
    Finished,
    JobState,
    JobStatus,
    NotFoundError,
    Patience,
    Progressed,
    Queued,
    RateLimitedError,
    ResultExpiredError,
    ServerError,
    Started,
    StateSeen,
    Unreachable,
    WaitTimeoutError,
    Watch,
)


def look(state, *, seq=None, pct=None, worker="w1"):
    """One look at a job."""
    output = None
    if seq is not None:
        output = {
            "type": "progress",
            "stage": "validation_ok",
            "pct": pct,
            "job_id": "a",
            "seq": seq,
        }
    return JobStatus(job_id="a", state=state, output=output, worker_id=worker)


def heard(watch, *looks):
    """The names of the events of some looks."""
    return [type(event).__name__ for one in looks for event in watch.heard(one)]


QUEUE, RUN, DONE = JobState.IN_QUEUE, JobState.IN_PROGRESS, JobState.COMPLETED


def test_each_thing_is_told_once():
    """Repeated looks at the same state are no news."""
    watch = Watch("a", started=0)
    names = heard(
        watch,
        look(QUEUE),
        look(QUEUE),
        look(RUN),
        look(RUN),
        look(RUN, seq=1, pct=5),
        look(RUN, seq=1, pct=5),
        look(RUN, seq=2, pct=9),
        look(DONE),
        look(DONE),
    )
    assert names == ["Queued", "Started", "Progressed", "Progressed", "Finished"]
    assert watch.is_finished


def test_late_progress_is_dropped():
    """A report that overtook another, or comes after the result, is not shown."""
    watch = Watch("a", started=0)
    names = heard(
        watch,
        look(RUN, seq=5, pct=50),
        look(RUN, seq=4, pct=40),
        look(RUN, seq=6, pct=45),
        look(DONE),
        look(RUN, seq=9, pct=90),
    )
    assert names == ["Started", "Progressed", "Finished"]


def test_another_worker_starts_over():
    """When a job is delivered again, its progress begins again, and that is said."""
    watch = Watch("a", started=0)
    names = heard(
        watch,
        look(RUN, seq=9, pct=80),
        look(QUEUE, worker=None),
        look(RUN, seq=1, pct=2, worker="w2"),
        look(RUN, seq=1, pct=2, worker="w3"),
    )
    assert names == [
        "Started",
        "Progressed",
        "Queued",
        "Started",
        "Progressed",
        "Started",
        "Progressed",
    ]


def test_an_unknown_state_is_told_and_watched_on():
    """A word that we do not know is an event, not the end."""
    watch = Watch("a", started=0)
    assert heard(watch, look("PAUSED"), look("PAUSED"), look(RUN)) == ["StateSeen", "Started"]
    assert not watch.is_finished


def lost(number=0):
    """A lost connection."""
    return ConnectionFailedError(message=f"lost {number}")


def test_a_short_outage_is_sat_out():
    """A lost connection is an event, then the watch looks again, later each time."""
    watch = Watch("a", started=0)
    pauses = []
    for second in range(4):
        (event,) = watch.failed(lost(), now=float(second), chance=1.0)
        assert isinstance(event, Unreachable)
        pauses.append(watch.pause_seconds(now=float(second), chance=0.5))
    assert pauses == [0.5, 1.0, 2.0, 4.0]
    assert heard(watch, look(RUN)) == ["Started"]
    assert watch.pause_seconds(now=4.0, chance=0.5) == 1.0


def test_a_long_outage_is_raised():
    """After five minutes of silence the last error is raised."""
    watch = Watch("a", started=0)
    watch.failed(lost(1), now=0, chance=0)
    with pytest.raises(ConnectionFailedError, match="lost 2"):
        watch.failed(lost(2), now=300, chance=0)


def api(kind, status, **facts):
    """A refusal of the endpoint."""
    return kind(status=status, method="GET", path="/status/a", **facts)


def test_a_job_that_is_gone_has_expired():
    """404 for a job means that its result was kept long enough."""
    with pytest.raises(ResultExpiredError, match="30 minutes"):
        Watch("a", started=0).failed(api(NotFoundError, 404), now=0, chance=0)


def test_a_refused_key_ends_the_watch():
    """401 does not pass by itself."""
    with pytest.raises(AuthError):
        Watch("a", started=0).failed(api(AuthError, 401), now=0, chance=0)


def test_retry_after_is_obeyed_while_watching():
    """A 429 with a number is waited for; with more than 120 s it is raised."""
    watch = Watch("a", started=0)
    watch.failed(api(RateLimitedError, 429, retry_after_seconds=33.0), now=0, chance=0)
    assert watch.pause_seconds(now=0, chance=0) == 33.0
    with pytest.raises(RateLimitedError):
        watch.failed(api(RateLimitedError, 429, retry_after_seconds=1e9), now=0, chance=0)


def test_patience_ends_on_time():
    """The last wait is cut to the caller's time, and then the watch says what it last saw."""
    watch = Watch("a", started=100, patience=Patience(timeout_seconds=3))
    watch.heard(look(RUN))
    assert watch.pause_seconds(now=102.5, chance=0.5) == 0.5
    with pytest.raises(WaitTimeoutError, match="IN_PROGRESS"):
        watch.pause_seconds(now=103, chance=0.5)


LOOKS = st.builds(
    look,
    st.sampled_from([*JobState, "PAUSED", "RUNNING_LATE"]),
    seq=st.none() | st.integers(0, 9),
    pct=st.floats(0, 100),
    worker=st.sampled_from([None, "w1", "w2"]),
)
FAILURES = st.sampled_from([lost(), api(ServerError, 502)])


@given(st.lists(LOOKS | FAILURES, max_size=40))
def test_whatever_comes_the_story_is_in_order(story):
    """Progress never falls within an attempt, Finished is last and comes once."""
    watch = Watch("a", started=0, patience=Patience(timeout_seconds=1e9))
    told, now = [], 0.0
    for one in story:
        if isinstance(one, Exception):
            told += watch.failed(one, now=now, chance=0.5)
        else:
            told += watch.heard(one)
        if watch.is_finished:
            break
        pause = watch.pause_seconds(now=now, chance=0.5)
        assert pause > 0
        now += min(pause, 1.0)
    pct = 0.0
    for event in told:
        if isinstance(event, Queued | Started | StateSeen):
            pct = 0.0 if not isinstance(event, StateSeen) else pct
        elif isinstance(event, Progressed):
            assert event.progress.pct >= pct
            pct = event.progress.pct
    ends = [index for index, event in enumerate(told) if isinstance(event, Finished)]
    assert ends in ([], [len(told) - 1])
