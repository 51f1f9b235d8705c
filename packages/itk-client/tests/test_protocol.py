"""Requests and replies as values: what may be repeated, and what an answer means."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itk_client import (
    ApiError,
    AuthError,
    BadReplyError,
    ConnectionFailedError,
    ItkError,
    JobState,
    NotFoundError,
    RateLimitedError,
    RetryPolicy,
    ServerError,
    SubmitUnknownError,
)
from itk_client.protocol import (
    Exchange,
    Fault,
    Reply,
    cancel_request,
    parse_health,
    parse_job_status,
    retry_request,
    run_request,
    status_request,
)

UNSENT = Fault(kind="unsent", message="refused")
UNANSWERED = Fault(kind="unanswered", message="read timed out")
RUN = run_request("{}", request_id="mine")


def tries(request, *outcomes, policy=None):
    """The waits between the tries, and the reply or error at the end."""
    exchange = Exchange(request, policy=policy or RetryPolicy())
    waits = []
    for outcome in outcomes:
        try:
            verdict = exchange.heard(outcome, chance=1.0)
        except ItkError as error:
            return waits, error
        if isinstance(verdict, Reply):
            return waits, verdict
        waits.append(verdict)
    return waits, None


OK = Reply(status=200, body=b"{}")


@pytest.mark.parametrize("request_", [status_request("a"), cancel_request("a")])
@pytest.mark.parametrize(
    "trouble", [UNSENT, UNANSWERED, *(Reply(status=s) for s in (408, 429, 500, 502, 503, 504, 524))]
)
def test_looking_and_cancelling_are_repeated(request_, trouble):
    """GET and cancel survive lost connections, 408, 429 and 5xx."""
    waits, end = tries(request_, trouble, trouble, OK)
    assert end == OK
    assert waits == [0.5, 1.0]


@pytest.mark.parametrize("trouble", [UNSENT, Reply(status=429), Reply(status=503)])
def test_a_submission_is_repeated_where_nothing_started(trouble):
    """POST /run is repeated after a refused connection, 429 and 503."""
    assert tries(RUN, trouble, OK) == ([0.5], OK)


@pytest.mark.parametrize("trouble", [UNANSWERED, *(Reply(status=s) for s in (408, 502, 504))])
def test_a_submission_without_an_answer_is_not_repeated(trouble):
    """A job that may run is never sent twice; the error carries the id that makes it safe."""
    waits, error = tries(RUN, trouble, OK)
    assert waits == []
    assert isinstance(error, SubmitUnknownError)
    assert error.request_id == "mine"
    assert "mine" in str(error)


@pytest.mark.parametrize("trouble", [UNANSWERED, Reply(status=500), Reply(status=502)])
def test_a_retry_is_asked_for_once(trouble):
    """POST /retry is not repeated once it was sent."""
    waits, error = tries(retry_request("a"), trouble, OK)
    assert waits == []
    assert isinstance(error, ConnectionFailedError | ServerError)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ApiError),
        (401, AuthError),
        (403, AuthError),
        (404, NotFoundError),
        (413, ApiError),
        (301, BadReplyError),
        (307, BadReplyError),
    ],
)
def test_refusals_are_typed_and_final(status, kind):
    """Answers that repeating cannot change are raised at once as their own type."""
    waits, error = tries(status_request("a"), Reply(status=status), OK)
    assert waits == []
    assert type(error) is kind


def test_retry_after_is_obeyed():
    """A 429 that says when is waited for exactly."""
    limited = Reply(status=429, headers={"retry-after": "37"})
    assert tries(RUN, limited, OK) == ([37.0], OK)


@pytest.mark.parametrize("asked", ["121", "99999999999999999999"])
def test_a_huge_retry_after_is_reported(asked):
    """More than 120 s is not waited for: the error names the value."""
    waits, error = tries(RUN, Reply(status=429, headers={"retry-after": asked}), OK)
    assert waits == []
    assert isinstance(error, RateLimitedError)
    assert error.retry_after_seconds == float(asked)


def test_it_gives_up():
    """After the last try the last error is raised."""
    waits, error = tries(status_request("a"), *[Reply(status=500)] * 9, policy=RetryPolicy(tries=3))
    assert waits == [0.5, 1.0]
    assert isinstance(error, ServerError)


def test_an_html_page_is_not_shown():
    """The HTML of a gateway does not reach the person."""
    page = Reply(status=502, headers={"content-type": "text/html"}, body=b"<html>secret</html>")
    _, error = tries(status_request("a"), page, policy=RetryPolicy(tries=1))
    assert "secret" not in str(error)
    assert "HTML" in str(error)


def test_a_status_is_read_whole():
    """Times come in seconds, the state as ours, RUNNING as IN_PROGRESS."""
    body = b'{"id":"a","status":"RUNNING","delayTime":1500,"executionTime":20,"workerId":"w"}'
    status = parse_job_status(Reply(status=200, body=body))
    assert status.state is JobState.IN_PROGRESS
    assert (status.delay_seconds, status.execution_seconds, status.worker_id) == (1.5, 0.02, "w")
    assert not status.is_finished


def test_an_unknown_state_is_kept():
    """A word that we do not know stays as it is and is not the end."""
    status = parse_job_status(Reply(status=200, body=b'{"id":"a","status":"PAUSED"}'))
    assert status.state == "PAUSED"
    assert not status.is_finished


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"7",
        b"null",
        b'{"id":7,"status":"FAILED"}',
        b'{"id":"a"}',
        b'{"id":"","status":"FAILED"}',
        b'{"id":"a","status":null}',
        b'{"id":"a","status":NaN}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_nonsense_is_named_as_such(body):
    """An answer that is not an API answer is a BadReplyError, never another exception."""
    with pytest.raises(BadReplyError):
        parse_job_status(Reply(status=200, body=body))


@given(st.binary(max_size=200))
def test_any_bytes_are_survived(body):
    """No body of an answer escapes the SDK's own errors."""
    with contextlib.suppress(BadReplyError):
        parse_job_status(Reply(status=200, body=body))


@pytest.mark.parametrize("job_id", ["../run", "a/b", "a?b", "a#b", "ü"])
def test_an_id_stays_one_segment(job_id):
    """An id cannot lead a request to another path."""
    path = status_request(job_id).path
    assert path.startswith("/status/")
    assert path.count("/") == 2
    assert not {"?", "#"} & set(path)


@pytest.mark.parametrize("job_id", ["", ".", ".."])
def test_an_id_must_be_one(job_id):
    """An id that would name another path is refused."""
    with pytest.raises(ValueError, match="job id"):
        status_request(job_id)


def test_health_keeps_what_it_does_not_know():
    """New words of /health are kept, and odd values passed over."""
    body = b'{"jobs":{"inQueue":2,"x":"y"},"workers":{"idle":1,"dreaming":3}}'
    health = parse_health(Reply(status=200, body=body))
    assert health.jobs == {"inQueue": 2}
    assert health.workers == {"idle": 1, "dreaming": 3}
