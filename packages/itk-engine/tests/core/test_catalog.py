"""Every picture parameter of the catalog changes the picture."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from itk_engine.engine import Engine
from itk_engine.request import GenerationRequest, MovingPicture
from itk_schema import PARAMETERS

# Steps so near to each other in time that TeaCache may skip some.
SLOW_TIME: dict[str, Any] = {"sample_steps": 7, "sample_shift": 100.0}

# For every picture parameter: a value, and what must hold besides for it to matter.
CHANGES: dict[str, tuple[Any, dict[str, Any]]] = {
    "size": ("infinitetalk-720", {}),
    "mode": ("clip", {}),
    "frame_num": (13, {}),
    "max_frame_num": (9, {}),
    "motion_frame": (1, {}),
    "sample_steps": (3, {}),
    "sample_shift": (3.0, {}),
    "sample_text_guide_scale": (3.0, {}),
    "sample_audio_guide_scale": (2.0, {}),
    "negative_prompt": ("cold", {}),
    "use_apg": (True, {}),
    "apg_momentum": (0.5, {"use_apg": True}),
    "apg_norm_threshold": (1.0, {"use_apg": True}),
    "base_seed": (8, {}),
    "use_teacache": (True, SLOW_TIME | {"teacache_thresh": 10.0}),
    "teacache_thresh": (10.0, SLOW_TIME | {"use_teacache": True}),
    "color_correction_strength": (0.0, {}),
    "join_fade_frames": (4, {}),
    "fit": ("pad", {}),
    "focus": ((0.5, 0.0), {}),
    "camera_motion": ("pan_left", {}),
    "video_end": ("bounce", {"film": 3}),
    "split_scenes": (True, {"film": 30}),
    "output_size": ("source", {}),
}
PICTURE_PARAMETERS = [parameter.name for parameter in PARAMETERS if parameter.kind == "picture"]


def test_no_picture_parameter_is_forgotten() -> None:
    """The catalog and the table of changes name the same parameters."""
    assert sorted(CHANGES) == sorted(PICTURE_PARAMETERS)


@pytest.mark.parametrize("name", PICTURE_PARAMETERS)
def test_it_changes_the_picture(
    engine: Engine, request_of: Callable[..., GenerationRequest], *, name: str
) -> None:
    """With all else equal, another value gives another video."""
    value, others = CHANGES[name]
    film = others.get("film")
    seconds = 1.2 if name == "split_scenes" else 0.4
    plain = {key: other for key, other in others.items() if key not in {"film", name}}
    changed = plain | {name: value}
    if name == "base_seed":
        changed = {"seed": value}
    videos = []
    for parameters in (plain, changed):
        request = request_of(seconds=seconds, **parameters)
        if film:
            end = request.parameters.video_end
            request = request_of(
                seconds=seconds,
                **parameters,
                picture=MovingPicture(
                    video=Film(film), end=end, scenes_seconds=((0.0, 0.6), (0.6, 1.2))
                ),
            )
        prepared = engine.prepare(request)
        videos.append(np.concatenate([chunk.frames for chunk in engine.generate(prepared)]))
    assert videos[0].shape != videos[1].shape or not np.array_equal(videos[0], videos[1])


class Film:
    """A video at 25 fps that cuts in the middle."""

    def __init__(self, frames: int) -> None:
        noise = np.random.default_rng(1).integers(0, 60, (frames, 70, 60, 3), dtype=np.uint8)
        noise[frames // 2 :] += 180
        self._pictures = noise
        self.duration_seconds = frames / 25

    def frame_at(self, seconds: float) -> np.ndarray:
        """What is on screen; the last picture past the end."""
        return self._pictures[min(int(seconds * 25 + 1e-6), len(self._pictures) - 1)]
