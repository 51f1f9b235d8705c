"""Names of files and limits of time follow from the job."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import itk_schema
from itk_schema import ArtifactNames, JobInput, JobRequest, OutputConfig, Policy


def names(**changes: str | None) -> ArtifactNames:
    """Return the names of a job's files with some parts changed."""
    facts = {"job_id": "job-1", "size": "infinitetalk-480", "prefix": "mine", **changes}
    return ArtifactNames(sample_steps=8, seed=42, **facts)  # type: ignore[arg-type]


def test_keys_are_the_contracts() -> None:
    """Prefix, job, item, and the parameters in the name."""
    assert names().key(".mp4") == "mine/job-1/infitalk_infinitetalk-480_8_seed42_job-1.mp4"
    assert (
        names(item_id="b").key(".json")
        == "mine/job-1/b/infitalk_infinitetalk-480_8_seed42_job-1.json"
    )
    assert names(prefix="a/b/").folder == "a/b/job-1"
    assert names(prefix="{date}/x", day="2026-01-31").folder == "2026-01-31/x/job-1"
    assert re.match(r"20\d\d-\d\d-\d\d/job-1", names(prefix="{date}").folder)


@pytest.mark.parametrize(
    "prefix", ["", "/", "..", "a/../b", "/abs", "a//b", "a\\b", "a\n", "{day}"]
)
def test_a_prefix_stays_where_it_is_put(prefix: str) -> None:
    """A prefix that leads elsewhere is refused, in a job and when a key is built."""
    with pytest.raises(ValueError, match="relative key prefix"):
        names(prefix=prefix).key(".mp4")
    with pytest.raises(itk_schema.InvalidJobError, match="relative key prefix"):
        OutputConfig(prefix=prefix)


@settings(max_examples=100, deadline=None, database=None)
@given(st.text(max_size=300), st.text(max_size=300))
def test_a_key_is_safe_whatever_the_ids(job_id: str, item_id: str) -> None:
    """Ids never lead out of the job's folder and never make a key too long."""
    key = names(job_id=job_id, item_id=item_id).key(".mp4")
    prefix, job, item, name = key.split("/")
    assert prefix == "mine"
    assert {job, item, name}.isdisjoint({"", ".", ".."})
    assert key.isascii()
    assert key.isprintable()
    assert len(key) <= 1024


@pytest.mark.parametrize(
    ("asked", "operator", "limit"),
    [
        (None, None, None),
        (1800.0, None, 1770.0),
        (1800.0, 600.0, 570.0),
        (None, 600.0, 570.0),
        (60.0, 600.0, 54.0),
    ],
)
def test_the_worker_stops_before_it_is_stopped(
    asked: float | None, operator: float | None, limit: float | None
) -> None:
    """The limit is the smaller wish less a margin."""
    assert itk_schema.time_limit_seconds(asked, operator_seconds=operator) == limit
    job = JobInput(prompt="a", cond_video="/a", deadline_seconds=asked)
    assert itk_schema.job_limit_seconds(job, operator_seconds=operator) == limit


def test_the_policy_is_repeated_inside_the_input() -> None:
    """A worker is not told the policy, so the input carries it, unless it says otherwise."""
    job = JobInput(prompt="a", cond_video="/a")
    request = JobRequest(input=job, policy=Policy(execution_timeout_seconds=90.0))
    assert itk_schema.with_deadline(request).input.deadline_seconds == 90.0
    assert itk_schema.with_deadline(JobRequest(input=job)).input.deadline_seconds is None
    own = JobInput(prompt="a", cond_video="/a", deadline_seconds=5.0)
    said = JobRequest(input=own, policy=request.policy)
    assert itk_schema.with_deadline(said) == said
