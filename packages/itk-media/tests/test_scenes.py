"""Cuts are found where another scene begins, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest

from itk_media import DecoderLimits, Scene, TooLargeError, find_scenes
from itk_media.decoder.cuts import difference, find_cuts, hue_saturation_value


def scenery(seed: int) -> np.ndarray:
    """Draw a picture of soft colours [64, 160, 3], wider than the frame that pans over it."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (4, 10, 3)).astype(np.float32)
    return np.repeat(np.repeat(small, 16, axis=0), 16, axis=1).astype(np.uint8)


def write_film(path, lengths, *, rate=25, pan=1):
    """Write scenes of the given numbers of frames; the camera pans through each."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "20"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for scene, length in enumerate(lengths):
            wide = scenery(scene)
            for k in range(length):
                left = k * pan % 64
                view = np.ascontiguousarray(wide[:, left : left + 96])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(view)))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("rate", [25, 30])
def test_scenes_begin_at_the_cuts(tmp_path, rate):
    """Three scenes with a moving camera are three scenes, to the frame."""
    path = write_film(tmp_path / "v.mp4", [30, 40, 25], rate=rate)
    scenes = find_scenes(path)
    assert [scene.start_seconds for scene in scenes] == pytest.approx([0, 30 / rate, 70 / rate])
    assert scenes[-1].end_seconds == pytest.approx(95 / rate, abs=0.001)
    assert scenes[0].end_seconds == scenes[1].start_seconds


def test_a_calm_video_is_one_scene(tmp_path):
    """Motion alone is no cut."""
    path = write_film(tmp_path / "v.mp4", [30], pan=2)
    assert find_scenes(path) == (Scene(start_seconds=0.0, end_seconds=1.2),)


def test_short_scenes_are_left_out_with_their_times(tmp_path):
    """A scene of 0.4 s is dropped; the next one keeps its own place, so nothing slips."""
    path = write_film(tmp_path / "v.mp4", [30, 10, 30])
    scenes = find_scenes(path)
    assert [(s.start_seconds, s.end_seconds) for s in scenes] == [
        (0.0, pytest.approx(1.2)),
        (pytest.approx(1.6), pytest.approx(2.8)),
    ]
    assert len(find_scenes(path, shortest_seconds=0.1)) == 3
    only = write_film(tmp_path / "w.mp4", [8])
    assert len(find_scenes(only)) == 1


def test_a_flash_is_one_cut_at_most():
    """Frames close after a cut belong to it."""
    moments = [k / 25 for k in range(20)]
    changes = [0.0] * 20
    changes[5], changes[7], changes[15] = 80.0, 70.0, 90.0
    assert find_cuts(moments, changes) == [5 / 25, 15 / 25]


def test_hue_is_a_circle():
    """Two reds on both sides of zero are alike; red and green are not."""
    red = np.full((4, 4, 3), (255, 0, 8), np.uint8)
    other_red = np.full((4, 4, 3), (255, 8, 0), np.uint8)
    green = np.full((4, 4, 3), (0, 255, 0), np.uint8)
    looks = [hue_saturation_value(pixels) for pixels in (red, other_red, green)]
    assert difference(looks[0], looks[1]) < 2
    assert difference(looks[0], looks[2]) > 15
    assert looks[2][0, 0].tolist() == [60, 255, 255]


def test_the_limits_of_videos_hold_here_too(tmp_path):
    """A long film is refused before it is looked at."""
    with pytest.raises(TooLargeError):
        find_scenes(write_film(tmp_path / "v.mp4", [30]), limits=DecoderLimits(max_seconds=1.0))


def test_a_search_that_nobody_wants_ends_with_its_process(tmp_path):
    """What `check` raises comes through at once, and the decoding process is gone."""
    path = write_film(tmp_path / "v.mp4", [300])
    looks = []

    def check():
        looks.append(children())
        raise TimeoutError

    before = children()
    with pytest.raises(TimeoutError):
        find_scenes(path, check=check)
    assert len(looks) == 1
    assert looks[0] - before
    assert children() <= before


def children() -> set[str]:
    """Ids of this process's children that are not yet gone."""
    return {
        entry.name
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _parent(entry) == os.getpid()
    }


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
