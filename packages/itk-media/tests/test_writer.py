"""The MP4 that people get is complete, in step and playable while it loads."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
import textwrap

import av
import numpy as np
import pytest

from itk_media import (
    EncodeError,
    Track,
    VideoWriter,
    probe,
    read_image,
    read_track,
    write_thumbnail,
)


def frames(media, count, width=96, height=64, start=0):
    """Give numbered frames [count, height, width, 3]."""
    return np.stack([media.numbered_frame(start + k, width, height) for k in range(count)])


def boxes(body: bytes) -> list[str]:
    """List the top-level boxes of an MP4."""
    names, at = [], 0
    while at < len(body):
        size, name = struct.unpack_from(">I4s", body, at)
        if size == 1:
            size = struct.unpack_from(">Q", body, at + 8)[0]
        names.append(name.decode())
        at += size
    return names


@pytest.mark.parametrize("rate", [16000, 44100, 48000, 24000])
def test_a_video_is_what_was_asked(media, tmp_path, rate):
    """Codec, pixels, colours, rate, frame count, order and speech are as promised."""
    path = tmp_path / "v.mp4"
    track = Track(samples=media.tone(2.0, rate, 2), sample_rate=rate)
    with VideoWriter(path, width=96, height=64, track=track) as video:
        for start in range(0, 50, 7):
            video.write(frames(media, min(7, 50 - start), start=start))
            assert not path.exists()
    assert video.frames_written == 50
    with av.open(str(path)) as container:
        picture, sound = container.streams.video[0], container.streams.audio[0]
        coding = picture.codec_context
        assert (coding.name, coding.pix_fmt, sound.codec_context.name) == ("h264", "yuv420p", "aac")
        assert picture.average_rate == 25
        assert (coding.colorspace, coding.color_primaries, coding.color_trc) == (1, 1, 1)
        assert coding.color_range == 1
        assert sound.codec_context.sample_rate == rate
        assert picture.duration * picture.time_base == pytest.approx(2.0, abs=1e-6)
        assert sound.duration * sound.time_base == pytest.approx(2.0, abs=0.04)
        decoded = list(container.decode(picture))
    numbers = [media.frame_number(frame.to_ndarray(format="rgb24")) for frame in decoded]
    assert numbers == list(range(50))
    assert [round(frame.time * 25) for frame in decoded] == list(range(50))
    assert not list(tmp_path.glob("*.part"))


def test_the_index_is_in_front(media, tmp_path):
    """A browser can play the file while it loads: moov comes before mdat."""
    with VideoWriter(tmp_path / "v.mp4", width=96, height=64) as video:
        video.write(frames(media, 10))
    names = boxes((tmp_path / "v.mp4").read_bytes())
    assert names.index("moov") < names.index("mdat")
    assert names[0] == "ftyp"


@pytest.mark.parametrize("seconds", [0.5, 3.0], ids=["shorter", "longer"])
def test_speech_is_cut_or_padded_to_the_video(media, tmp_path, seconds):
    """Both streams end within one frame of each other, whatever came."""
    track = Track(samples=media.tone(seconds, 44100), sample_rate=44100)
    with VideoWriter(tmp_path / "v.mp4", width=96, height=64, track=track) as video:
        video.write(frames(media, 40))
    with av.open(str(tmp_path / "v.mp4")) as container:
        ends = [float(stream.duration * stream.time_base) for stream in container.streams]
    assert ends == pytest.approx([1.6, 1.6], abs=0.04)
    heard = read_track(tmp_path / "v.mp4").samples
    if seconds < 1:
        assert np.abs(heard[int(0.7 * 44100) :]).max() < 0.01


def test_speech_stays_where_it_was_spoken(media, tmp_path):
    """A click at one second is heard at one second."""
    samples = np.zeros((32000, 1), np.float32)
    samples[16000:16100] = 0.8
    with VideoWriter(
        tmp_path / "v.mp4", width=96, height=64, track=Track(samples=samples, sample_rate=16000)
    ) as video:
        video.write(frames(media, 50))
    heard = read_track(tmp_path / "v.mp4").samples[:, 0]
    assert np.abs(heard).argmax() / 16000 == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(("width", "height"), [(97, 65), (98, 65), (97, 64)])
def test_odd_sizes_become_even_by_repeating_the_edge(tmp_path, width, height):
    """No row or column is lost."""
    picture = np.full((3, height, width, 3), 90, np.uint8)
    with VideoWriter(tmp_path / "v.mp4", width=width, height=height) as video:
        video.write(picture)
    facts = probe(tmp_path / "v.mp4")
    assert (facts.width, facts.height) == (width + width % 2, height + height % 2)


def test_metadata_travels_with_the_video(media, tmp_path):
    """Parameters are in the comment, and the file says that a model made it."""
    with VideoWriter(
        tmp_path / "v.mp4", width=96, height=64, metadata={"comment": '{"seed": 7}', "title": "Añ"}
    ) as video:
        video.write(frames(media, 2))
    with av.open(str(tmp_path / "v.mp4")) as container:
        assert container.metadata["comment"] == '{"seed": 7}'
        assert container.metadata["title"] == "Añ"
        assert "trainedAlgorithmicMedia" in container.metadata["description"]


def test_a_failure_leaves_no_file(media, tmp_path):
    """An error in the middle removes what was written, and so does an empty video."""
    with pytest.raises(RuntimeError, match="stop"):
        write_and_stop(tmp_path / "v.mp4", frames(media, 5))
    with pytest.raises(EncodeError, match="at least one frame"):
        VideoWriter(tmp_path / "v.mp4", width=96, height=64).close()
    assert not list(tmp_path.iterdir())


def test_an_older_file_survives_a_failure_and_is_replaced_by_a_success(media, tmp_path):
    """The name always belongs to a complete video."""
    path = tmp_path / "v.mp4"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="stop"):
        write_and_stop(path, frames(media, 2))
    assert path.read_bytes() == b"old"
    with VideoWriter(path, width=96, height=64) as video:
        video.write(frames(media, 2))
    assert probe(path).frames == 2


def test_frames_of_another_shape_are_refused(tmp_path):
    """The message says what was needed and what came."""
    video = VideoWriter(tmp_path / "v.mp4", width=96, height=64)
    with pytest.raises(ValueError, match=r"\[F, 64, 96, 3\], got float32 \[1, 3, 64, 96\]"):
        video.write(np.zeros((1, 3, 64, 96), np.float32))
    video.abandon()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_an_encode_error(tmp_path):
    """Writing fails with our error, not FFmpeg's."""
    with pytest.raises(EncodeError, match="could not be written"):
        VideoWriter(tmp_path / "no" / "v.mp4", width=96, height=64)


def test_the_same_frames_make_the_same_video(media, tmp_path):
    """A repeated job gives the same sound and, but for x264's rare rounding, the same picture."""
    found = []
    for name in ("a.mp4", "b.mp4"):
        track = Track(samples=media.tone(1.0, 16000), sample_rate=16000)
        with VideoWriter(tmp_path / name, width=96, height=64, track=track) as video:
            video.write(frames(media, 25))
        with av.open(str(tmp_path / name)) as made:
            pictures = np.stack([one.to_ndarray(format="rgb24") for one in made.decode(video=0)])
            made.seek(0)
            found.append((pictures, [bytes(packet) for packet in made.demux(audio=0)]))
    (first, sound), (again, sound_again) = found
    assert first.shape == again.shape == (25, 64, 96, 3)
    assert np.abs(first.astype(int) - again).mean() < 0.5
    assert sound == sound_again


def test_a_full_disk_is_named(tmp_path):
    """When no more bytes fit, the error says so and nothing is left behind."""
    script = textwrap.dedent("""
        import resource, signal, sys
        import numpy as np
        from pathlib import Path
        from itk_media import EncodeError, VideoWriter
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
        noise = np.random.default_rng(0).integers(0, 255, (50, 64, 96, 3), np.uint8)
        try:
            with VideoWriter(Path(sys.argv[1]), width=96, height=64) as video:
                video.write(noise)
        except EncodeError as error:
            print(error.reason, [p.name for p in Path(sys.argv[1]).parent.iterdir()])
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "v.mp4")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "no_space []"


def test_memory_does_not_grow_with_length(media, tmp_path):
    """A thousand frames more cost no memory worth speaking of."""
    script = textwrap.dedent("""
        import resource, sys
        import numpy as np
        from pathlib import Path
        from itk_media import Track, VideoWriter
        track = Track(samples=np.zeros((16000, 1), np.float32), sample_rate=16000)
        block = np.random.default_rng(0).integers(0, 255, (20, 64, 96, 3), np.uint8)
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with VideoWriter(Path(sys.argv[1]), width=96, height=64, track=track, speed="fast") as v:
            for _ in range(10):
                v.write(block)
            before = peak()
            for _ in range(50):
                v.write(block)
            print(peak() - before)
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "v.mp4")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 6000, "kilobytes for 1000 frames of 18 kB"
    assert media.frame_number is not None


def test_a_thumbnail_is_a_small_jpeg(tmp_path):
    """It keeps the shape of the picture and appears whole."""
    picture = np.full((480, 960, 3), (200, 100, 50), np.uint8)
    write_thumbnail(picture, tmp_path / "t.jpg", longest_side=320)
    back = read_image(tmp_path / "t.jpg")
    assert back.shape == (160, 320, 3)
    assert np.abs(back[80, 160].astype(int) - (200, 100, 50)).max() < 6
    with pytest.raises(EncodeError):
        write_thumbnail(picture, tmp_path / "no" / "t.jpg")
    assert [p.name for p in tmp_path.iterdir()] == ["t.jpg"]


def test_an_os_error_becomes_a_reason():
    """ENOSPC is no_space; anything else is encode_failed."""
    full = EncodeError.from_os(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "the video")
    other = EncodeError.from_os(OSError(errno.EACCES, os.strerror(errno.EACCES)), "the video")
    assert (full.reason, other.reason) == ("no_space", "encode_failed")
    assert str(other) == "the video could not be written: Permission denied"


def write_and_stop(path, pictures):
    """Write some frames, then fail as a generation does."""
    with VideoWriter(path, width=96, height=64) as video:
        video.write(pictures)
        raise RuntimeError("stop")
