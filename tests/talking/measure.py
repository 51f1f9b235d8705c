"""Measures whether a checkpoint really talks, on faces and voices that were set aside.

    python tests/talking/measure.py [--checkpoint FOLDER] [--faces 20] [--voices 5] [--only ...]

Pixels are read by geometry alone (training/meter.py). Every number goes into a JSON file.
"""

# ruff: noqa: E402, T201

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

HERE = Path(__file__).parent
if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parents[1] / "training"))

import clips
import meter
import sounds

from itk_engine import Engine, EngineConfig, GenerationRequest, StillPicture
from itk_engine.tiny import checkpoint_files
from itk_engine.weights import read_vae
from itk_media import Waveform
from itk_schema import parse_input, resolve_parameters

if TYPE_CHECKING:
    from itk_engine import CheckpointFiles
    from itk_engine.vae import VAE

HELD_OUT = json.loads((HERE.parents[1] / "training" / "held_out.json").read_text())
FIRST_FACE = HELD_OUT["face_seeds"]["first"]
SECONDS = 3.24
FRAMES = 81
# Recordings begin with a moment of silence; the synthesiser begins at once. The first frame of a
# video is the portrait, mouth shut, so that without it the first frames could not be right.
LEAD_SECONDS = 0.2


class Subject:
    """A loaded checkpoint, and what it is asked to do."""

    def __init__(self, files: CheckpointFiles) -> None:
        self.files = files
        self.engine = Engine.load(files, EngineConfig(device="cpu"))
        self.corpus = sounds.Corpus.load(HERE / "held_out.ogg")

    def voice(
        self, number: int, seconds: float = SECONDS, skip: float = 0.0, lead: float = LEAD_SECONDS
    ) -> torch.Tensor:
        """Seconds of a held-out voice after `lead` seconds of silence, [N] at 16 kHz."""
        start = self.corpus.starts[number % len(self.corpus.starts)] + round(skip * sounds.RATE)
        count = round((seconds - lead) * sounds.RATE)
        spoken = self.corpus.samples[start : start + count]
        return torch.cat([torch.zeros(round(lead * sounds.RATE)), spoken])

    def speak(
        self, picture: torch.Tensor, speeches: list[torch.Tensor], *, seed: int = 1, **more: Any
    ) -> torch.Tensor:
        """The video [F, 3, H, W] in 0..1 that the engine makes of a picture [3, H, W]."""
        job = {
            "prompt": "a person speaks",
            "cond_video": "/runpod-volume/p.png",
            "cond_audio": {"person1": "/runpod-volume/a.wav"},
            "preset": "draft",
            **more,
        }
        if len(speeches) == 2:
            job["cond_audio"]["person2"] = "/runpod-volume/b.wav"
            job["audio_type"] = "para"
        pixels = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        request = GenerationRequest(
            prompt="a person speaks",
            picture=StillPicture(pixels=np.ascontiguousarray(pixels)),
            speeches=tuple(Waveform(samples=s.numpy(), sample_rate=16000) for s in speeches),
            parameters=resolve_parameters(parse_input(job)),
            seed=seed,
        )
        frames = np.concatenate([chunk.frames for chunk in self.engine.generate(request)])
        return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255


def scene(seeds: list[tuple[int, ...]], size: tuple[int, int], frames: int = FRAMES) -> clips.Scene:
    """Drawn people with these seeds whose mouths open and close like a slow wave."""
    wave = 0.4 + 0.4 * torch.sin(torch.arange(frames) / 3.1)
    opening = wave.expand(len(seeds), len(seeds[0]), frames)
    return clips.scene(seeds, size=size, opening=opening, spread=opening * 0, kind="first")


def shut(first: int, count: int) -> list[int]:
    """Held-out faces whose portraits have closed mouths."""
    many = [FIRST_FACE + i for i in range(first, first + 3 * count)]
    drawn = scene([(s,) for s in many], (128, 128), 1)
    closed = drawn.rest[0].opening == 0
    return [s for s, c in zip(many, closed.tolist(), strict=True) if c][:count]


def talking(
    subject: Subject, faces: int, voices: int, *, lead: float = LEAD_SECONDS
) -> dict[str, float]:
    """Correlation of the mouth with the loudness of the speech, lag, and with another speech.

    It counts from where the speech begins: a silence that all speeches share would say that they
    are alike.
    """
    own, other, lags = [], [], []
    seeds = shut(0, faces)
    drawn = scene([(s,) for s in seeds], (128, 128), 1)
    pictures, boxes = drawn.portrait(), drawn.places("mouth")
    spoken = [subject.voice(v, lead=lead) for v in range(voices)]
    truths = [sounds.mouth(voice[None], FRAMES)[0][0] for voice in spoken]
    for i in range(faces):
        for v in range(voices):
            video = subject.speak(pictures[i], [spoken[v]], seed=i)
            track = meter.opening(video, pictures[i], boxes[i, 0])
            heard = slice(round(lead * sounds.FPS), len(track))
            own.append(meter.correlation(track[heard], truths[v][heard]))
            lags.append(meter.best_lag(track[heard], truths[v][heard]))
            other.append(meter.correlation(track[heard], truths[(v + 1) % voices][heard]))
    table = torch.tensor(own)
    return {
        "count": len(own),
        "median": float(table.median()),
        "tenth": float(table.quantile(0.1)),
        "least": float(table.min()),
        "lag_beyond_one": sum(abs(lag) > 1 for lag in lags),
        "shuffled": float(torch.tensor(other).median()),
    }


def autoencoder(vae: VAE, faces: int) -> dict[str, float]:
    """The autoencoder alone over 81 frames: dB, first against last frames, eyes' contrast."""
    rows = []
    for i in range(faces):
        one = scene([(FIRST_FACE + i,)], (128, 128))
        video = one.video()[0].movedim(0, 1) * 2 - 1
        with torch.inference_mode():
            again = vae.decode(vae.encode(video))
        error = (again - video).square().mean((0, 2, 3)) / 4
        decibels = -10 * torch.log10(error)
        x0, y0, x1, y1 = (round(float(v)) for v in one.places("eyes")[0, 0])
        patch = [v[:, :, max(0, y0) : y1, max(0, x0) : x1].mean(0) for v in (video, again)]
        contrast = [p.flatten(1).std(1).mean() for p in patch]
        whole = -10 * torch.log10(error.mean())
        first, last = decibels[:5].mean(), decibels[-5:].mean()
        rows.append((whole, first, last, contrast[1] / contrast[0]))
    table = torch.tensor(rows)
    return {
        "median_db": float(table[:, 0].median()),
        "least_db": float(table[:, 0].min()),
        "first_minus_last_db": float((table[:, 1] - table[:, 2]).median()),
        "eye_contrast": float(table[:, 3].median()),
    }


def quiet(subject: Subject, faces: int) -> dict[str, float]:
    """How far mouths open in silence and in faint noise, guided by either, beside speech."""
    seeds = shut(0, faces)
    drawn = scene([(s,) for s in seeds], (128, 128), 1)
    pictures, boxes = drawn.portrait(), drawn.places("mouth")
    noise = torch.randn(round(SECONDS * 16000), generator=torch.Generator().manual_seed(1))
    inputs = {
        "speech": subject.voice(0),
        "silence": torch.zeros_like(noise),
        "faint_noise": noise * 1e-3,
    }
    facts = {}
    for name, speech in inputs.items():
        rises = []
        for i in range(faces):
            video = subject.speak(pictures[i], [speech], seed=i)
            track = meter.opening(video, pictures[i], boxes[i, 0])
            rises.append(float(track.quantile(0.9) - track[0]))
        facts[name] = float(torch.tensor(rises).median())
    return facts


def couples(subject: Subject, count: int) -> dict[str, float]:
    """Two people with speeches of their own: each mouth against its own and the other's."""
    own, other, tracks = [], [], []
    for i in range(count):
        seeds = (FIRST_FACE + 2 * i, FIRST_FACE + 2 * i + 1)
        drawn = scene([seeds], (96, 176), 1)
        speeches = [subject.voice(2 * i, skip=1.0), subject.voice(2 * i + 1, skip=4.0)]
        heard = slice(round(LEAD_SECONDS * sounds.FPS), FRAMES)
        truths = [sounds.mouth(s[None], FRAMES)[0][0][heard] for s in speeches]
        tracks.append(meter.correlation(*truths))
        video = subject.speak(drawn.portrait()[0], speeches, seed=i)
        for p in range(2):
            track = meter.opening(video, drawn.portrait()[0], drawn.places("mouth")[0, p])[heard]
            own.append(meter.correlation(track, truths[p][: len(track)]))
            other.append(meter.correlation(track, truths[1 - p][: len(track)]))
    return {
        "own_median": float(torch.tensor(own).median()),
        "other_median": float(torch.tensor(other).median()),
        "between_tracks": float(torch.tensor(tracks).median()),
    }


def streaming(subject: Subject, seconds: float, faces: int) -> dict[str, Any]:
    """Drift of colours over long streams, and jumps at the joins of chunks, 0..255.

    A step is the mean absolute difference of two frames. Drift is the worst of the faces; of each
    face there is the largest step at a join and the largest between ordinary frames.
    """
    drift: dict[str, float] = {"background": 0.0, "face": 0.0}
    largest: dict[str, list[float]] = {"join_largest": [], "ordinary_largest": []}
    seeds = shut(0, faces)
    drawn = scene([(s,) for s in seeds], (128, 128), 1)
    pictures, boxes = drawn.portrait(), drawn.places("face")
    length = 0
    for i in range(faces):
        speech = subject.voice(i, min(seconds, 24.0))
        times = int(seconds * sounds.RATE / len(speech)) + 1
        speech = speech.repeat(times)[: round(seconds * sounds.RATE)]
        video = subject.speak(pictures[i], [speech], mode="streaming") * 255
        length = len(video)
        x0, y0, x1, y1 = (round(float(v)) for v in boxes[i, 0])
        parts = {
            "face": video[:, :, y0 + 8 : y1 - 8, x0 + 8 : x1 - 8].mean((2, 3)),
            "background": torch.cat([video[:, :, :24, :14], video[:, :, :24, -14:]], 3).mean(
                (2, 3)
            ),
        }
        for name, colour in parts.items():
            off = float((colour[-25:].mean(0) - colour[:25].mean(0)).abs().max())
            drift[name] = max(drift[name], off)
        steps = video.diff(dim=0).abs().mean((1, 2, 3))
        at_join = torch.zeros(len(steps), dtype=torch.bool)
        at_join[FRAMES - 1 :: FRAMES - 9] = True
        largest["join_largest"].append(float(steps[at_join].max()))
        largest["ordinary_largest"].append(float(steps[~at_join].max()))
    return {"seconds": length / sounds.FPS, "faces": faces, **drift, **largest}


def speed(subject: Subject) -> dict[str, float]:
    """Seconds for 3.2 s of video with the preset `draft`, and the memory that this took."""
    picture = scene([(FIRST_FACE,)], (128, 128), 1).portrait()[0]
    begin = time.monotonic()
    subject.speak(picture, [subject.voice(0, 3.2)])
    return {
        "seconds": time.monotonic() - begin,
        "threads": torch.get_num_threads(),
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def digest(folder: Path) -> str:
    """What names a checkpoint: a SHA-256 over the names and contents of its files."""
    whole = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole.update(str(file.relative_to(folder)).encode())
        whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()


def measure(
    files: CheckpointFiles,
    *,
    faces: int,
    voices: int,
    only: list[str] | None = None,
    out: Path | None = None,
) -> dict[str, Any]:
    """All measures, or those named; with `out` each is written there at once."""
    subject = Subject(files)
    vae = read_vae(files.base / "Wan2.1_VAE.pth", device=torch.device("cpu"))
    table = {
        "speed": lambda: speed(subject),
        "autoencoder": lambda: autoencoder(vae, faces),
        "quiet": lambda: quiet(subject, max(2, faces // 4)),
        "couples": lambda: couples(subject, max(2, faces // 2)),
        "talking": lambda: talking(subject, faces, voices),
        "talking_at_once": lambda: talking(subject, max(2, faces // 4), 2, lead=0.0),
        "streaming": lambda: streaming(subject, 60.0, 3 if faces >= 20 else 1),
    }
    facts: dict[str, Any] = {"checkpoint": digest(files.base.parent)}
    for name, work in table.items():
        if not only or name in only:
            facts[name] = work()
            print(name, json.dumps(facts[name]), flush=True)
            if out:
                out.write_text(json.dumps(facts, indent=2) + "\n")
    return facts


def main() -> None:
    """Measure what the command line names."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--checkpoint", type=Path, help="default: the one of itk-tiny")
    ask.add_argument("--faces", type=int, default=20)
    ask.add_argument("--voices", type=int, default=5)
    ask.add_argument("--only", nargs="*")
    ask.add_argument("--out", type=Path)
    given = ask.parse_args()
    folder = given.checkpoint
    if folder is None:
        import itk_tiny

        folder = itk_tiny.checkpoint_folder()
    files = checkpoint_files(folder)
    measure(files, faces=given.faces, voices=given.voices, only=given.only, out=given.out)


if __name__ == "__main__":
    main()
