"""Decides what a job leaves open: its parameters and its seed."""

import hashlib

from .catalog import PARAMETERS
from .job import JobInput
from .parameters import Parameters
from .presets import PRESETS

SEED_COUNT = 100_000_000
"""Seeds taken from a job's id lie in [0, 99999999], as the reference's random ones do."""


def resolve_parameters(job: JobInput) -> Parameters:
    """Decide every parameter of a job: what it says, else what its preset says, else the default.

    A blank negative prompt counts as not said. `base_seed` stays as it is: see resolve_seed.
    """
    preset = PRESETS[job.preset].values if job.preset is not None else {}
    said = {
        parameter.name: value
        for parameter in PARAMETERS
        if (value := getattr(job, parameter.name)) is not None
    }
    if not said.get("negative_prompt", "said").strip():
        del said["negative_prompt"]
    return Parameters(**{**preset, **said})


def resolve_seed(base_seed: int, job_id: str, item_id: str | None = None) -> int:
    """Return the seed to use: the one given, or for -1 one that follows from the job's id.

    The same job id (and item id) gives the same seed on every machine, so that a job that is run
    twice makes the same video.
    """
    if base_seed >= 0:
        return base_seed
    named = job_id if item_id is None else f"{job_id}\0{item_id}"
    digest = hashlib.sha256(named.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % SEED_COUNT
