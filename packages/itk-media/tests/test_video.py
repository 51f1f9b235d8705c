"""Frames of a video are found by time, whatever its rate, codec or clock."""

from __future__ import annotations

import io
from contextlib import suppress
from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from itk_media import (
    DecoderLimits,
    MediaError,
    TooLargeError,
    UnreadableMediaError,
    UnsupportedMediaError,
    open_video,
    probe,
)


def shown(moments: list[Fraction], seconds: Fraction) -> int:
    """Say which frame a player shows: the last one whose moment has come."""
    return max(k for k, moment in enumerate(moments) if moment <= seconds or k == 0)


@pytest.mark.parametrize(
    ("rate", "name"),
    [
        (Fraction(24), "v.mp4"),
        (Fraction(25), "v.mp4"),
        (Fraction(30000, 1001), "v.mp4"),
        (Fraction(30), "v.mkv"),
        (Fraction(60), "v.mov"),
        (Fraction(12), "v.avi"),
        (Fraction(25), "v.ts"),
    ],
    ids=["24", "25", "29.97", "30-mkv", "60", "12-avi", "25-ts"],
)
def test_frames_keep_step_with_the_clock(media, tmp_path, rate, name):
    """At 25 fps the frame shown at k/25 s is the one a player shows then."""
    path = media.write_video(tmp_path / name, rate=rate, count=int(2 * rate))
    moments = [Fraction(k) / rate for k in range(int(2 * rate))]
    with open_video(path) as video:
        seen = [media.frame_number(video.frame_at(k / 25)) for k in range(50)]
        assert (video.width, video.height) == (96, 64)
        assert video.duration_seconds == pytest.approx(len(moments) / rate, abs=0.05)
    assert seen == [shown(moments, Fraction(k, 25)) for k in range(50)]


def test_a_variable_rate_is_followed(media, tmp_path):
    """Frames that stay on screen longer are repeated, hurried ones are skipped."""
    moments = [Fraction(t, 1000) for t in (0, 10, 30, 200, 210, 800, 1200, 1220, 1300)]
    path = media.write_video(tmp_path / "v.mkv", moments=moments)
    with open_video(path) as video:
        seen = [media.frame_number(video.frame_at(k / 25)) for k in range(40)]
        assert video.frames == len(moments)
    assert seen == [shown(moments, Fraction(k, 25)) for k in range(40)]


@pytest.mark.parametrize(
    ("codec", "name", "options"),
    [
        ("libx265", "v.mp4", {"x265-params": "log-level=none:keyint=10"}),
        ("libsvtav1", "v.mp4", {"preset": "12", "g": "10"}),
        ("libvpx-vp9", "v.webm", {"deadline": "realtime", "g": "10"}),
        ("mpeg4", "v.avi", {"g": "10"}),
    ],
    ids=["hevc", "av1", "vp9", "mpeg4"],
)
def test_other_codecs_give_the_same_frames(media, tmp_path, codec, name, options, capfd):
    """HEVC, AV1, VP9 and old MPEG-4 are read like H.264, forward and back."""
    path = media.write_video(tmp_path / name, codec=codec, options=options, count=40)
    with open_video(path) as video:
        order = [0, 1, 2, 30, 39, 12, 11, 25, 0]
        assert [media.frame_number(video.frame_at(k / 25)) for k in order] == order
    capfd.readouterr()


def test_going_back_and_jumping_give_what_going_forward_gave(media, tmp_path):
    """A seek changes the cost of a frame and never the frame."""
    path = media.write_video(
        tmp_path / "v.mp4", count=120, options={"g": "12", "bf": "3", "x264-params": "open-gop=1"}
    )
    with open_video(path) as video:
        forward = [video.frame_at(k / 25) for k in range(120)]
        order = np.random.default_rng(1).integers(0, 120, 40)
        assert all(np.array_equal(video.frame_at(k / 25), forward[k]) for k in order)


def test_frames_are_also_found_by_number(media, tmp_path):
    """The n-th frame of a 30 fps file is its own n-th frame; past the end the last one holds."""
    path = media.write_video(tmp_path / "v.mp4", rate=30, count=45)
    with open_video(path) as video:
        order = [0, 7, 7, 30, 44, 45, 999, 3]
        expected = [0, 7, 7, 30, 44, 44, 44, 3]
        assert [media.frame_number(video.frame_number(k)) for k in order] == expected
        assert media.frame_number(video.frame_at(1.0)) == 30
        assert media.frame_number(video.frame_number(31)) == 31
        with pytest.raises(ValueError, match="0 or more"):
            video.frame_number(-1)


def test_before_the_start_and_past_the_end_the_picture_holds(media, tmp_path):
    """A video shorter than the speech keeps its last frame."""
    path = media.write_video(tmp_path / "v.mp4", count=10)
    with open_video(path) as video:
        assert media.frame_number(video.frame_at(-3.0)) == 0
        assert media.frame_number(video.frame_at(1e6)) == 9
        assert media.frame_number(video.frame_at(0.2)) == 5


@pytest.mark.parametrize("start", [-2, 7], ids=["negative", "late"])
def test_time_zero_is_the_first_frame_whatever_its_timestamp(media, tmp_path, start):
    """A clock that begins before or after zero does not shift the pictures."""
    moments = [Fraction(start) + Fraction(k, 25) for k in range(30)]
    path = media.write_video(
        tmp_path / "v.mkv", moments=moments, muxing={"avoid_negative_ts": "disabled"}
    )
    with open_video(path) as video:
        assert [media.frame_number(video.frame_at(k / 25)) for k in (0, 1, 10, 29, 4)] == [
            0,
            1,
            10,
            29,
            4,
        ]
        assert video.duration_seconds == pytest.approx(30 / 25, abs=0.05)


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_a_rotated_recording_is_put_upright(media, tmp_path, rotation):
    """The display matrix that phones write is obeyed, in the size too."""
    path = media.write_video(tmp_path / "v.mp4", count=3, rotation=rotation, size=(96, 48))
    with open_video(path) as video:
        pixels = video.frame_number(2)
        assert pixels.shape == ((96, 48, 3) if rotation != 180 else (48, 96, 3))
        assert media.frame_number(np.rot90(pixels, -rotation // 90)) == 2
    facts = probe(path)
    assert (facts.height, facts.width) == pixels.shape[:2]


def test_a_probe_tells_what_a_video_holds(media, tmp_path):
    """Kind, rate, length, codec and sound are known without decoding it whole."""
    path = media.write_video(tmp_path / "v.mp4", rate=30, count=30, sound=media.tone(1.0, 16000))
    facts = probe(path)
    assert (facts.kind, facts.mime, facts.video_codec) == ("video", "video/mp4", "h264")
    assert facts.frames_per_second == pytest.approx(30)
    assert facts.duration_seconds == pytest.approx(1.0, abs=0.02)
    assert (facts.has_audio, facts.sample_rate, facts.channels) == (True, 16000, 1)
    assert facts.frames == 30


def test_oblong_pixels_are_made_square(tmp_path):
    """An anamorphic recording has the shape that a player shows."""
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8))
        container.mux([*stream.encode(frame), *stream.encode(None)])
    with open_video(path) as video:
        assert video.frame_at(0).shape == (64, 128, 3)
        assert (video.width, video.height) == (128, 64)


def test_cover_art_is_not_a_video(media, tmp_path):
    """A song with a picture in it is sound."""
    path = tmp_path / "s.mp4"
    body = io.BytesIO()
    Image.new("RGB", (32, 32), (9, 9, 9)).save(body, "JPEG")
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16000, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width = cover.height = 32
        cover.pix_fmt = "yuvj420p"
        cover.disposition = Disposition.attached_pic
        block = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(media.tone(1.0, 16000).T), format="fltp", layout="mono"
        )
        block.sample_rate = 16000
        packet = av.Packet(body.getvalue())
        packet.stream, packet.pts, packet.dts = cover, 0, 0
        container.start_encoding()
        container.mux(packet)
        container.mux([*sound.encode(block), *sound.encode(None)])
    assert probe(path).kind == "audio"
    with pytest.raises(UnsupportedMediaError, match="no video"):
        open_video(path)


@pytest.mark.parametrize("seed", range(6))
def test_damage_gives_frames_or_a_media_error_and_nothing_else(media, tmp_path, seed):
    """Whatever bytes are exchanged, the caller meets only our errors."""
    rng = np.random.default_rng(seed)
    name = ["v.mp4", "v.mkv", "v.ts"][seed % 3]
    body = bytearray(media.write_video(tmp_path / name, count=15).read_bytes())
    for place in rng.integers(0, len(body), 25):
        body[place] = rng.integers(256)
    (tmp_path / name).write_bytes(body)
    with suppress(MediaError), open_video(tmp_path / name) as video:
        assert video.frame_at(0.3).shape == (video.height, video.width, 3)


def test_sound_alone_is_not_a_video(media, tmp_path):
    """An audio file given as a video is named as one."""
    import soundfile

    soundfile.write(tmp_path / "s.wav", media.tone(1.0, 16000), 16000)
    with pytest.raises(UnsupportedMediaError, match="no video, only sound"):
        open_video(tmp_path / "s.wav")


def test_a_large_frame_a_long_film_and_too_many_frames_are_refused(media, tmp_path):
    """Each limit is named."""
    path = media.write_video(tmp_path / "v.mp4", count=30)
    with pytest.raises(TooLargeError, match="96x64"):
        open_video(path, limits=DecoderLimits(max_pixels=6000))
    with pytest.raises(TooLargeError, match="1 s long") as caught:
        open_video(path, limits=DecoderLimits(max_seconds=0.5))
    assert caught.value.reason == "too_long"
    with pytest.raises(TooLargeError, match="more than 10 frames"):
        probe(path, limits=DecoderLimits(max_frames=10))


def test_a_video_cut_short_is_an_error(media, tmp_path):
    """A download that lost its end is not taken for a shorter video."""
    whole = media.write_video(
        tmp_path / "v.mp4", count=100, muxing={"movflags": "+faststart"}, options={"g": "10"}
    ).read_bytes()
    (tmp_path / "no_index.mp4").write_bytes(
        media.write_video(tmp_path / "w.mp4", count=50).read_bytes()[:-600]
    )
    with pytest.raises(UnreadableMediaError):
        open_video(tmp_path / "no_index.mp4")
    (tmp_path / "short.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    with pytest.raises(UnreadableMediaError, match="cut short"):
        open_video(tmp_path / "short.mp4")


def test_a_colour_that_we_wrote_comes_back(tmp_path):
    """A colour written by our writer comes back within three steps of 255."""
    from itk_media import VideoWriter

    colour = np.array([200, 50, 100], np.uint8)
    frames = np.broadcast_to(colour, (5, 64, 96, 3)).copy()
    with VideoWriter(tmp_path / "v.mp4", width=96, height=64) as video:
        video.write(frames)
    with open_video(tmp_path / "v.mp4") as video:
        back = video.frame_at(0.1)
    assert np.abs(back.astype(int) - colour).max() <= 3


def test_the_sample_video_reads_by_time_and_by_number(samples):
    """At 25 fps both ways give the same frames."""
    with open_video(samples / "single" / "ref_video.mp4") as video:
        assert (video.frames, video.duration_seconds) == (375, 15.0)
        for index in (0, 100, 374, 10):
            assert np.array_equal(video.frame_at(index / 25), video.frame_number(index))
