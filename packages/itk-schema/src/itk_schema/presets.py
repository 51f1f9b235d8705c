"""Named choices of several parameters at once, and how a job's parameters are decided."""

import hashlib
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from attrs import frozen

from .catalog import PARAMETERS
from .parameters import Parameters

if TYPE_CHECKING:
    from .job import JobInput

PresetName: TypeAlias = Literal["draft", "fast-8", "fast-4", "quality"]
SEED_COUNT = 100_000_000
"""Seeds taken from a job's id lie in [0, 99999999], as the reference's random ones do."""


@frozen(kw_only=True)
class Preset:
    """One preset: what it is for and what it sets."""

    name: PresetName
    help: str
    values: dict[str, Any]

    @property
    def loras(self) -> tuple[str, ...]:
        """The LoRAs that an endpoint must have to offer this preset."""
        return tuple(self.values.get("loras", ()))


_ALL: tuple[Preset, ...] = (
    Preset(
        name="draft",
        help="A quick look without a LoRA.",
        values={
            "sample_steps": 8,
            "sample_text_guide_scale": 1.0,
            "sample_audio_guide_scale": 2.0,
            "sample_shift": 7.0,
        },
    ),
    Preset(
        name="fast-8",
        help="Eight steps with the FusionX LoRA.",
        values={
            "loras": ("fusionx",),
            "sample_steps": 8,
            "sample_text_guide_scale": 1.0,
            "sample_audio_guide_scale": 2.0,
            "sample_shift": 2.0,
        },
    ),
    Preset(
        name="fast-4",
        help="Four steps with the lightx2v LoRA.",
        values={
            "loras": ("lightx2v",),
            "sample_steps": 4,
            "sample_text_guide_scale": 1.0,
            "sample_audio_guide_scale": 1.0,
            "sample_shift": 7.0,
        },
    ),
    Preset(
        name="quality",
        help="Forty steps with full guidance.",
        values={
            "sample_steps": 40,
            "sample_text_guide_scale": 5.0,
            "sample_audio_guide_scale": 4.0,
        },
    ),
)
PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ALL}


def resolve_parameters(job: "JobInput") -> Parameters:
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
