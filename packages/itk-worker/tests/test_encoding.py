"""Encoding beside sampling: order, bounds, errors, what an unwanted video leaves."""

import threading

import numpy as np
import pytest

from itk_media import EncodeError, VideoWriter
from itk_worker.encoding import ChunkEncoder


class Slow:
    """A writer that waits to be let go, and keeps what it wrote."""

    def __init__(self, error=None):
        self.gate = threading.Event()
        self.values = []
        self.frames_written = 1
        self.closed = False
        self.error = error

    def write(self, frames):  # noqa: D102
        assert self.gate.wait(10)
        if self.error:
            raise self.error
        self.values.append(int(frames[0, 0, 0, 0]))

    def close(self):  # noqa: D102
        self.closed = True


def chunk(value):
    """Two frames of one colour."""
    return np.full((2, 16, 16, 3), value, np.uint8)


def test_the_next_chunk_is_made_while_one_is_encoded(tmp_path):
    """The first write returns at once; the second waits for the first; order is kept."""
    writer = Slow()
    with ChunkEncoder(writer, thumbnail=tmp_path / "t.jpg") as encoder:
        encoder.write(chunk(1))
        assert writer.values == []
        second = threading.Thread(target=encoder.write, args=(chunk(2),))
        second.start()
        second.join(0.1)
        assert second.is_alive(), "a third chunk would be in memory"
        writer.gate.set()
        second.join(10)
        encoder.close()
    assert writer.values == [1, 2]
    assert writer.closed


def test_a_full_disk_is_raised_between_two_steps(tmp_path):
    """`check`, which runs at each step, raises what the thread met; nothing more is written."""
    writer = Slow(EncodeError("the disk is full", "no_space"))
    with ChunkEncoder(writer, thumbnail=tmp_path / "t.jpg") as encoder:
        encoder.check()
        encoder.write(chunk(1))
        encoder.check()
        writer.gate.set()
        with pytest.raises(EncodeError, match="full"):
            encoder.close()
    assert not writer.closed


def test_a_cancelled_video_leaves_no_file_and_no_thread(tmp_path):
    """The chunk in work is waited for, the file is removed."""
    before = threading.active_count()

    def be_cancelled():
        writer = VideoWriter(tmp_path / "v.mp4", width=16, height=16)
        with writer, ChunkEncoder(writer, thumbnail=tmp_path / "t.jpg") as encoder:
            encoder.write(chunk(1))
            raise KeyError

    with pytest.raises(KeyError):
        be_cancelled()
    assert threading.active_count() == before
    assert [path.name for path in tmp_path.iterdir()] in ([], ["t.jpg"])


def test_the_thumbnail_is_the_first_frame_and_time_is_counted(tmp_path):
    """One file beside the video, and milliseconds of the encoder's own."""
    writer = VideoWriter(tmp_path / "v.mp4", width=16, height=16)
    with writer, ChunkEncoder(writer, thumbnail=tmp_path / "t.jpg") as encoder:
        encoder.write(chunk(1))
        encoder.write(chunk(2))
        encoder.close()
    assert writer.frames_written == 4
    assert encoder.busy_ms > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.jpg", "v.mp4"]
