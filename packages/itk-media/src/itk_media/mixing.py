"""Brings sounds together: two speakers, a dub's own sound, rates and channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from .tracks import Track, Waveform

if TYPE_CHECKING:
    from .arrays import Samples

AudioType = Literal["para", "add"]
SourceAudio = Literal["drop", "keep", "duck"]
Sound = TypeVar("Sound", Waveform, Track)

_DUCKED_GAIN = 10 ** (-12 / 20)
_SPEAKING_LEVEL = 10 ** (-45 / 20)
_DUCK_HOP_SECONDS = 0.02
_DUCK_HOLD_HOPS = 12


def mix_speeches(
    first: Sound,
    second: Sound,
    *,
    audio_type: AudioType = "para",
    speaker_order: tuple[str, str] = ("person1", "person2"),
) -> tuple[tuple[Sound, Sound], Sound]:
    """Return both speakers' tracks, of one length, and their sum.

    ``para``: both speak at once; the shorter track is padded with silence.
    ``add``: one speaks after the other, the one named first in ``speaker_order`` begins.
    Full-rate tracks that differ meet at the higher rate and the larger number of channels;
    waveforms must agree in rate. The sum is neither normalised nor clipped.
    """
    first, second = _alike(first, second)
    silence_first, silence_second = np.zeros_like(first.samples), np.zeros_like(second.samples)
    if audio_type == "para":
        length = max(len(first.samples), len(second.samples))
        one, two = _padded(first.samples, length), _padded(second.samples, length)
    elif speaker_order[0] == "person1":
        one = np.concatenate([first.samples, silence_second])
        two = np.concatenate([silence_first, second.samples])
    else:
        one = np.concatenate([silence_second, first.samples])
        two = np.concatenate([second.samples, silence_first])
    return (_like(first, one), _like(first, two)), _like(first, one + two)


def mix_source(speech: Track, source: Track, *, source_audio: SourceAudio) -> Track:
    """Return the speech with a dubbed video's own sound under it.

    ``drop`` leaves the speech alone. ``keep`` adds the sound as it is. ``duck`` lowers it
    by 12 dB while somebody speaks, and lets it rise again within half a second. The result
    is as long as the longer of the two, and turned down where it would clip.
    """
    if source_audio == "drop":
        return speech
    speech, source = _alike(speech, source)
    length = max(len(speech.samples), len(source.samples))
    voice = _padded(speech.samples, length)
    under: Samples = _padded(source.samples, length)
    if source_audio == "duck":
        under = (under * _ducking(voice, speech.sample_rate)[:, None]).astype(np.float32)
    return _like(speech, voice + under).scaled(1.0)


def _ducking(voice: Samples, rate: int) -> Samples:
    """Return the gain [N] under a voice: low where it sounds, and smooth everywhere."""
    hop = max(1, round(rate * _DUCK_HOP_SECONDS))
    hops = -(-len(voice) // hop)
    power = np.zeros(hops * hop, np.float32)
    power[: len(voice)] = np.square(voice).mean(axis=1)
    speaking = power.reshape(hops, hop).mean(axis=1) > _SPEAKING_LEVEL**2
    hold = np.ones(2 * _DUCK_HOLD_HOPS + 1)
    held = np.convolve(speaking, hold, "same") > 0.5
    smooth = np.convolve(np.pad(held, _DUCK_HOLD_HOPS, mode="edge"), hold / len(hold), "valid")
    gain = 1.0 - (1.0 - _DUCKED_GAIN) * smooth
    places = (np.arange(hops) + 0.5) * hop
    return np.interp(np.arange(len(voice)), places, gain).astype(np.float32)


def resample(sound: Sound, sample_rate: int) -> Sound:
    """Return the sound at another rate, by soxr's high quality setting."""
    if sound.sample_rate == sample_rate:
        return sound
    import soxr

    length = int(np.ceil(len(sound.samples) * (float(sample_rate) / sound.sample_rate)))
    resampled = soxr.resample(sound.samples, sound.sample_rate, sample_rate, quality="soxr_hq")
    return type(sound)(samples=_padded(resampled[:length], length), sample_rate=sample_rate)


def speech_of(track: Track, sample_rate: int = 16000) -> Waveform:
    """Return what a model hears of a track: what ``read_speech`` gives of the same file."""
    # librosa averages the transposed array; the same expression gives the same bits.
    mono = np.mean(track.samples.T, axis=0)
    return resample(Waveform(samples=mono, sample_rate=track.sample_rate), sample_rate)


def _alike(first: Sound, second: Sound) -> tuple[Sound, Sound]:
    if isinstance(first, Waveform) and first.sample_rate != second.sample_rate:
        message = (
            "two waveforms must have one sample rate, "
            f"got {first.sample_rate} and {second.sample_rate}"
        )
        raise ValueError(message)
    rate = max(first.sample_rate, second.sample_rate)
    first, second = resample(first, rate), resample(second, rate)
    channels = max(first.samples.shape[-1], second.samples.shape[-1])
    return _spread(first, channels), _spread(second, channels)


def _spread(sound: Sound, channels: int) -> Sound:
    """Give a track more channels: one is copied to all, several are joined by silence."""
    samples = sound.samples
    if samples.ndim == 1 or samples.shape[1] == channels:
        return sound
    if samples.shape[1] == 1:
        return _like(sound, np.repeat(samples, channels, axis=1))
    return _like(sound, np.pad(samples, ((0, 0), (0, channels - samples.shape[1]))))


def _padded(samples: Samples, length: int) -> Samples:
    extra = length - len(samples)
    return np.pad(samples, [(0, extra)] + [(0, 0)] * (samples.ndim - 1)) if extra else samples


def _like(sound: Sound, samples: Samples) -> Sound:
    return type(sound)(samples=samples, sample_rate=sound.sample_rate)
