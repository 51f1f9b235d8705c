"""The catalog, the classes and what is decided from them agree."""

import math
from typing import Any

import attrs
import pytest

from itk_schema import (
    DEFAULT_NEGATIVE_PROMPT,
    PARAMETERS,
    PRESETS,
    CondAudio,
    InvalidJobError,
    JobInput,
    Parameter,
    Parameters,
    parse_input,
    resolve_parameters,
    resolve_seed,
)
from itk_schema.kinds import describe

JOB: dict[str, Any] = {
    "prompt": "A woman sings",
    "cond_video": "https://example.com/a.jpg",
    "cond_audio": {"person1": "https://example.com/a.wav"},
}
TWO = {**JOB, "cond_audio": {"person1": "/a.wav", "person2": "/b.wav"}}


def problems(job: dict[str, Any]) -> list[str]:
    """Return the problems of a job as sentences."""
    with pytest.raises(InvalidJobError) as caught:
        parse_input(job)
    return [str(problem) for problem in caught.value.problems]


def test_a_job_may_say_every_parameter_and_nothing_twice() -> None:
    """JobInput has each parameter of the catalog, with its type or null and with its rule."""
    asked = {field.name: field for field in attrs.fields(JobInput)}
    decided = {field.name: field for field in attrs.fields(Parameters)}
    assert [parameter.name for parameter in PARAMETERS] == list(decided)
    for parameter in PARAMETERS:
        field = asked[parameter.name]
        assert field.default is None
        assert field.metadata["rule"] is parameter.rule
        assert describe(field.type).nullable
        assert attrs.evolve(describe(field.type), nullable=parameter.nullable) == parameter.type


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: parameter.name)
def test_every_parameter_is_described(parameter: Parameter) -> None:
    """Each line of the catalog has a help, a group and a kind, and its default obeys its rule."""
    assert parameter.help.endswith(".")
    assert parameter.group
    assert parameter.kind in ("picture", "speech", "memory", "weights", "output")
    if parameter.type.name in ("integer", "number"):
        assert parameter.minimum is not None
        assert parameter.maximum is not None
    if parameter.needs is not None:
        assert parameter.needs[0] in {other.name for other in PARAMETERS}
    if parameter.default is not None:
        job = JobInput(prompt="a", cond_video="/a", **{parameter.name: parameter.default})
        assert getattr(job, parameter.name) == parameter.default


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: parameter.name)
def test_every_parameter_refuses_what_it_is_not(parameter: Parameter) -> None:
    """A value of another type, or beyond the range, is a problem that names the field."""
    wrong: list[Any] = [
        {},
        [[]],
        "\ud800",
        math.nan,
        math.inf,
        -math.inf,
        10**400,
        "no such thing\0",
    ]
    if parameter.type.name != "boolean":
        wrong.append(True)
    if parameter.minimum is not None and parameter.maximum is not None:
        wrong += [parameter.minimum - 1, parameter.maximum + 1, str(parameter.default)]
    if parameter.multiple_of:
        wrong += [80, 82, 83, 81.5]
    for value in wrong:
        found = problems({**TWO, "audio_type": "add", "quant": "fp8", parameter.name: value})
        assert any(text.startswith(f"input.{parameter.name}") for text in found), value


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("size", "infinitetalk-480"),
        ("mode", "clip"),
        ("frame_num", 81),
        ("max_frame_num", None),
        ("motion_frame", 9),
        ("sample_steps", 40),
        ("sample_shift", 7.0),
        ("sample_text_guide_scale", 5.0),
        ("sample_audio_guide_scale", 4.0),
        ("color_correction_strength", 1.0),
        ("join_fade_frames", 0),
        ("use_teacache", False),
        ("teacache_thresh", 0.2),
        ("use_apg", False),
        ("apg_momentum", -0.75),
        ("apg_norm_threshold", 55.0),
        ("base_seed", 42),
        ("num_persistent_param_in_dit", None),
        ("offload_model", None),
        ("quant", None),
        ("audio_type", "para"),
        ("negative_prompt", DEFAULT_NEGATIVE_PROMPT),
    ],
)
def test_a_silent_job_gets_the_published_defaults(name: str, default: object) -> None:
    """What a job does not say is as the reference has it."""
    job = parse_input(JOB)
    assert isinstance(job, JobInput)
    assert getattr(resolve_parameters(job), name) == default


def test_shift_and_motion_follow_what_is_said() -> None:
    """The shift follows the size, and motion frames stay fewer than the chunk's."""
    assert Parameters(size="infinitetalk-720").sample_shift == 11.0
    assert Parameters(size="infinitetalk-720", sample_shift=3.0).sample_shift == 3.0
    for frames, motion in [(5, 1), (9, 5), (13, 9), (81, 9)]:
        assert Parameters(frame_num=frames).motion_frame == motion


def test_presets_set_what_the_contract_says() -> None:
    """The four presets set steps, guidance, shift and LoRA."""
    said = {
        name: [
            preset.values.get("sample_steps"),
            preset.values.get("sample_text_guide_scale"),
            preset.values.get("sample_audio_guide_scale"),
            preset.values.get("sample_shift"),
            *preset.loras,
        ]
        for name, preset in PRESETS.items()
    }
    assert said == {
        "draft": [8, 1, 2, 7],
        "fast-8": [8, 1, 2, 2, "fusionx"],
        "fast-4": [4, 1, 1, 7, "lightx2v"],
        "quality": [40, 5, 4, None],
    }


def test_explicit_values_win_over_the_preset() -> None:
    """A preset fills in what the job leaves open, and only that."""
    job = JobInput(prompt="a", cond_video="/a", preset="fast-8", sample_steps=6, base_seed=0)
    decided = resolve_parameters(job)
    assert (decided.sample_steps, decided.base_seed, decided.sample_shift) == (6, 0, 2.0)
    assert decided.loras == ("fusionx",)
    assert resolve_parameters(attrs.evolve(job, loras=())).loras == ()


def test_a_blank_negative_prompt_is_the_models_own() -> None:
    """The reference falls back to its own text when none is given; so do we."""
    job = JobInput(prompt="a", cond_video="/a", negative_prompt=" ")
    assert resolve_parameters(job).negative_prompt == DEFAULT_NEGATIVE_PROMPT


def test_values_are_checked_at_birth() -> None:
    """A wrong value in Python is refused where it is written, all wrong fields at once."""
    with pytest.raises(InvalidJobError) as caught:
        JobInput(prompt="", cond_video="/a", frame_num=80, sample_steps=True, sample_shift="7")
    assert [problem.path for problem in caught.value.problems] == [
        "prompt",
        "frame_num",
        "sample_steps",
        "sample_shift",
    ]
    with pytest.raises(InvalidJobError, match="frame_num"):
        Parameters(frame_num=80)


def test_a_job_in_python_may_name_a_local_file() -> None:
    """The client replaces paths before it sends a job, so that birth accepts them."""
    job = JobInput(prompt="a", cond_video="me.jpg", cond_audio=CondAudio(person1="me.wav"))
    assert job.speakers == 1


def test_seeds_follow_from_ids() -> None:
    """A seed of -1 is a number in [0, 99999999] that depends on the ids and on nothing else."""
    assert resolve_seed(7, "job") == 7
    assert resolve_seed(-1, "job") == resolve_seed(-1, "job")
    seeds = {resolve_seed(-1, f"job-{n}", item) for n in range(50) for item in (None, "a", "b")}
    assert len(seeds) == 150
    assert all(0 <= seed <= 99_999_999 for seed in seeds)
    assert resolve_seed(-1, "a-known-job") == 45299404
