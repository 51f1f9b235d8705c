"""Speech comes out as librosa gives it, from any container."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile

from itk_media import (
    DecoderLimits,
    EncodeError,
    SpeechTooShortError,
    TooLargeError,
    Track,
    UnreadableMediaError,
    UnsupportedMediaError,
    Waveform,
    loudness_gain,
    mix_source,
    mix_speeches,
    normalise_loudness,
    probe,
    read_speech,
    read_track,
    resample,
    speech_of,
    write_track,
)

# librosa imports modules that Python is about to drop.
OLD_MODULES = pytest.mark.filterwarnings("ignore:.*is deprecated and slated:DeprecationWarning")


@OLD_MODULES
@pytest.mark.parametrize(
    ("name", "rate", "channels", "subtype"),
    [
        ("s.wav", 44100, 2, "PCM_16"),
        ("s.wav", 8000, 1, "PCM_U8"),
        ("s.wav", 96000, 6, "PCM_24"),
        ("s.wav", 16000, 1, "FLOAT"),
        ("s.flac", 48000, 2, "PCM_16"),
        ("s.ogg", 22050, 1, "VORBIS"),
        ("s.mp3", 44100, 2, "MPEG_LAYER_III"),
    ],
    ids=["cd", "8-bit", "5.1-96k", "float", "flac", "vorbis", "mp3"],
)
def test_samples_equal_those_of_librosa(media, tmp_path, name, rate, channels, subtype):
    """Whatever librosa can read, we read to the same bits."""
    librosa = pytest.importorskip("librosa")
    path = tmp_path / name
    soundfile.write(path, media.tone(1.3, rate, channels), rate, subtype=subtype)
    expected, _ = librosa.load(path, sr=16000)
    speech = read_speech(path)
    assert speech.sample_rate == 16000
    assert speech.samples.dtype == np.float32
    assert np.array_equal(speech.samples, expected)
    heard = speech_of(read_track(path))
    assert heard.sample_rate == 16000
    assert np.array_equal(heard.samples, expected)


@OLD_MODULES
def test_the_sample_speech_equals_librosa(samples):
    """The real recordings too."""
    librosa = pytest.importorskip("librosa")
    for path in (samples / "single" / "1.wav", samples / "multi" / "1-man.WAV"):
        expected, _ = librosa.load(path, sr=16000)
        assert np.array_equal(read_speech(path).samples, expected)
        assert np.array_equal(speech_of(read_track(path)).samples, expected)


@pytest.mark.parametrize(
    ("name", "codec", "layout", "rate"),
    [
        ("s.m4a", "aac", "stereo", 44100),
        ("s.mkv", "pcm_s16le", "stereo", 48000),
        ("s.mov", "alac", "mono", 16000),
        ("s.webm", "libopus", "mono", 48000),
        ("s.aac", "aac", "mono", 22050),
    ],
)
def test_other_containers_go_through_the_same_steps(media, tmp_path, name, codec, layout, rate):
    """MP4, MKV, MOV, WebM and raw AAC give the tone that went in."""
    channels = 2 if layout == "stereo" else 1
    original = media.tone(1.0, rate, channels)
    write_sound(tmp_path / name, original, codec, layout, rate)
    speech, track = read_speech(tmp_path / name), read_track(tmp_path / name)
    assert (track.sample_rate, track.channels) == (rate, channels)
    assert speech.duration_seconds == pytest.approx(1.0, abs=0.08)
    wanted = resample(Waveform(samples=original.mean(axis=1), sample_rate=rate), 16000).samples
    assert best_match(speech.samples, wanted) > 0.99
    assert probe(tmp_path / name).kind == "audio"


def test_lossless_sound_in_a_video_container_is_exact(media, tmp_path):
    """A container changes nothing: PCM in MKV equals the same PCM in WAV."""
    original = media.tone(0.9, 44100, 2)
    soundfile.write(tmp_path / "s.wav", original, 44100, subtype="PCM_16")
    write_sound(tmp_path / "s.mkv", original, "pcm_s16le", "stereo", 44100)
    from_wav, from_mkv = read_track(tmp_path / "s.wav"), read_track(tmp_path / "s.mkv")
    assert np.abs(from_wav.samples - from_mkv.samples).max() <= 1 / 32768
    assert from_wav.samples.shape == from_mkv.samples.shape


def test_a_track_keeps_its_rate_and_channels(media, tmp_path):
    """What people hear is not what the model hears."""
    original = media.tone(0.5, 48000, 2)
    soundfile.write(tmp_path / "s.wav", original, 48000, subtype="FLOAT")
    track = read_track(tmp_path / "s.wav")
    assert np.array_equal(track.samples, original)
    assert track.sample_rate == 48000


def test_nothing_and_nonsense_are_precise_errors(media, tmp_path):
    """No samples, samples that are no numbers, no sound at all: each is named."""
    soundfile.write(tmp_path / "empty.wav", np.zeros((0, 1), np.float32), 16000)
    with pytest.raises(UnreadableMediaError, match="0 samples"):
        read_speech(tmp_path / "empty.wav")
    broken = media.tone(0.5, 16000)
    broken[100] = np.nan
    soundfile.write(tmp_path / "nan.wav", broken, 16000, subtype="FLOAT")
    with pytest.raises(UnreadableMediaError, match="not numbers") as caught:
        read_speech(tmp_path / "nan.wav")
    assert caught.value.reason == "not_finite"
    media.write_video(tmp_path / "v.mp4", count=5)
    with pytest.raises(UnsupportedMediaError, match="no sound") as caught:
        read_speech(tmp_path / "v.mp4")
    assert caught.value.reason == "no_speech"
    (tmp_path / "text.wav").write_bytes(b"hello, this is no sound " * 20)
    with pytest.raises((UnreadableMediaError, UnsupportedMediaError)):
        read_speech(tmp_path / "text.wav")


def test_ten_hours_are_refused_while_reading(media, tmp_path):
    """The limit on seconds holds whatever the header says."""
    soundfile.write(tmp_path / "s.wav", media.tone(3.0, 16000), 16000)
    with pytest.raises(TooLargeError, match="2 s allowed") as caught:
        read_speech(tmp_path / "s.wav", limits=DecoderLimits(max_seconds=2.0))
    assert caught.value.reason == "too_long"


def test_loudness_is_brought_to_minus_23(media):
    """The normalised speech measures -23 LUFS, and the gain is the published formula's."""
    import pyloudnorm

    speech = media.tone(2.0, 16000)[:, 0]
    normalised = normalise_loudness(speech)
    meter = pyloudnorm.Meter(16000)
    assert normalised.dtype == np.float32
    assert meter.integrated_loudness(normalised) == pytest.approx(-23.0, abs=0.01)
    expected = 10 ** ((-23.0 - meter.integrated_loudness(speech)) / 20)
    assert loudness_gain(speech) == pytest.approx(expected, rel=1e-9)


def test_silence_is_left_alone_and_a_snippet_is_refused():
    """Silence has no loudness; under 0.4 s it cannot be measured."""
    silence = np.zeros(16000, np.float32)
    assert np.array_equal(normalise_loudness(silence), silence)
    with pytest.raises(SpeechTooShortError, match=r"at least 0.4 s long, got 0.399 s"):
        normalise_loudness(np.zeros(6390, np.float32))
    assert len(normalise_loudness(np.zeros(6400, np.float32))) == 6400


def test_para_pads_the_shorter_and_sums():
    """Two who speak at once end together."""
    first, second = Waveform(samples=[0.1] * 5), Waveform(samples=[0.2] * 3)
    (one, two), both = mix_speeches(first, second)
    assert one.samples.tolist() == pytest.approx([0.1] * 5)
    assert two.samples.tolist() == pytest.approx([0.2, 0.2, 0.2, 0, 0])
    assert both.samples.tolist() == pytest.approx([0.3, 0.3, 0.3, 0.1, 0.1])


@pytest.mark.parametrize(
    ("order", "expected"),
    [(("person1", "person2"), [1, 1, 2]), (("person2", "person1"), [2, 1, 1])],
    ids=["first", "second"],
)
def test_add_lets_one_speak_after_the_other(order, expected):
    """The order says who begins; the tracks stay those of their speakers."""
    first, second = Waveform(samples=[1.0, 1.0]), Waveform(samples=[2.0])
    (one, two), both = mix_speeches(first, second, audio_type="add", speaker_order=order)
    assert both.samples.tolist() == expected
    assert one.samples.tolist() == [1.0 if value == 1 else 0.0 for value in expected]
    assert two.samples.tolist() == [2.0 if value == 2 else 0.0 for value in expected]


def test_tracks_meet_at_the_higher_rate_and_more_channels():
    """A mono phone call and a stereo recording become one stereo track."""
    call = Track(samples=np.full((8000, 1), 0.1), sample_rate=8000)
    studio = Track(samples=np.full((96000, 2), 0.2), sample_rate=48000)
    (one, two), both = mix_speeches(call, studio)
    assert both.sample_rate == 48000
    assert one.samples.shape == two.samples.shape == both.samples.shape == (96000, 2)
    assert both.samples[24000].tolist() == pytest.approx([0.3, 0.3], abs=0.01)
    assert both.samples[90000].tolist() == pytest.approx([0.2, 0.2], abs=0.01)


def test_waveforms_of_different_rates_are_not_mixed():
    """A mistake in the caller is named."""
    with pytest.raises(ValueError, match="16000 and 8000"):
        mix_speeches(Waveform(samples=[0.0]), Waveform(samples=[0.0], sample_rate=8000))


def test_a_part_is_cut_out_by_seconds():
    """Speech can begin late and end early; an empty part is an error that says why."""
    speech = Waveform(samples=np.arange(16000))
    assert speech.cut(0.25, 0.5).samples.tolist() == list(range(4000, 8000))
    assert speech.cut(None, 99).duration_seconds == 1.0
    with pytest.raises(ValueError, match=r"speech is 1.000 s long"):
        speech.cut(2.0, 3.0)


def test_gain_never_pushes_a_track_over_full_scale():
    """A track that would clip is turned down instead."""
    track = Track(samples=[[0.5], [-0.25]], sample_rate=8000)
    assert track.scaled(1.5).samples[:, 0].tolist() == pytest.approx([0.75, -0.375])
    assert track.scaled(8.0).samples[:, 0].tolist() == pytest.approx([1.0, -0.5])


def write_sound(path, samples, codec, layout, rate):
    """Encode float samples with any codec into any container."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        size = stream.codec_context.frame_size or 1024
        wanted = stream.codec_context.format.name
        convert = av.AudioResampler(format=wanted, layout=layout, rate=rate, frame_size=size)
        whole = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples.T), format="fltp", layout=layout
        )
        whole.sample_rate, whole.pts, whole.time_base = rate, 0, Fraction(1, rate)
        for part in [*convert.resample(whole), *convert.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


def best_match(heard, wanted):
    """Give the highest correlation of two signals over any shift (encoder delay)."""
    size = 2 * max(len(heard), len(wanted))
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wanted, size))
    norm = np.linalg.norm(heard) * np.linalg.norm(wanted)
    return np.fft.irfft(spectrum, size).max() / norm


def test_ducking_lowers_the_source_only_under_the_voice():
    """Music falls by 12 dB while somebody speaks and returns afterwards."""
    rate = 16000
    voice = np.zeros((6 * rate, 1), np.float32)
    voice[2 * rate : 4 * rate] = 0.1
    speech = Track(samples=voice, sample_rate=rate)
    music = Track(samples=np.full((6 * rate, 1), 0.2), sample_rate=rate)
    ducked = mix_source(speech, music, source_audio="duck").samples - voice
    assert ducked[rate, 0] == pytest.approx(0.2, abs=1e-4)
    assert ducked[3 * rate, 0] == pytest.approx(0.2 * 10 ** (-12 / 20), abs=1e-4)
    assert ducked[5 * rate, 0] == pytest.approx(0.2, abs=1e-4)
    assert np.abs(np.diff(ducked[:, 0])).max() < 0.001


def test_the_source_is_kept_or_dropped_as_asked():
    """Keep sums over the longer length without clipping; drop changes nothing."""
    speech = Track(samples=[[0.5]] * 4, sample_rate=8000)
    source = Track(samples=[[0.25, 1.0]] * 6, sample_rate=8000)
    kept = mix_source(speech, source, source_audio="keep")
    assert kept.samples.shape == (6, 2)
    assert np.abs(kept.samples).max() == pytest.approx(1.0)
    assert mix_source(speech, source, source_audio="drop") is speech


def test_a_track_can_begin_with_the_pictures(media, tmp_path):
    """Sound that starts half a second after the first frame is heard half a second later."""
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=25)
        picture.width, picture.height, picture.pix_fmt = 96, 64, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for k in range(50):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(media.numbered_frame(k))))
        container.mux(picture.encode(None))
        block = av.AudioFrame.from_ndarray(
            np.full((1, 16000), 9000, np.int16), format="s16", layout="mono"
        )
        block.sample_rate, block.pts, block.time_base = 16000, 8000, Fraction(1, 16000)
        container.mux(sound.encode(block))
        container.mux(sound.encode(None))
    assert len(read_track(path).samples) == 16000
    track = read_track(path, beside_pictures=True)
    assert len(track.samples) == 24000
    assert not track.samples[:8000].any()
    assert track.samples[8100:].all()


def test_a_track_is_written_and_read_back(tmp_path):
    """WAV keeps rate, channels and 16 bits; a missing folder is an encode error."""
    track = Track(samples=[[0.5, -0.5], [0.25, 2.0]], sample_rate=24000)
    write_track(track, tmp_path / "s.wav")
    back = read_track(tmp_path / "s.wav")
    assert back.sample_rate == 24000
    assert back.samples == pytest.approx(np.array([[0.5, -0.5], [0.25, 1.0]]), abs=1e-4)
    with pytest.raises(EncodeError):
        write_track(track, tmp_path / "no" / "s.wav")
    assert [p.name for p in tmp_path.iterdir()] == ["s.wav"]
