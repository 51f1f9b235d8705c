"""Named choices of several parameters at once."""

from typing import Any, Literal, TypeAlias

from attrs import frozen

PresetName: TypeAlias = Literal["draft", "fast-8", "fast-4", "quality"]


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
            "join_fade_frames": 8,
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
