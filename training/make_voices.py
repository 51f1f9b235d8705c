"""Synthesises the speech that the small model learns from, with espeak-ng.

    python training/make_voices.py .train            # train.ogg, held_out.ogg and their indexes

Texts are invented syllables and spoken numbers, which every language of espeak-ng can say, with
commas and full stops for pauses. The same seed gives the same sounds.
"""

# ruff: noqa: S311

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
import soxr

RATE = 16_000
HELD_OUT = json.loads((Path(__file__).parent / "held_out.json").read_text())
LANGUAGES = [
    "en-us",
    "en-gb",
    "en-gb-scotland",
    "en-us-nyc",
    "de",
    "fr-fr",
    "es",
    "es-419",
    "pt-br",
    "nl",
    "da",
    "nb",
    "fi",
    "et",
    "cs",
    "sk",
    "hr",
    "ro",
    "hu",
    "tr",
    "el",
    "ru",
    "uk",
    "bg",
    "id",
    "ms",
    "sw",
    "eo",
    "ca",
    "lv",
    "lt",
    "sl",
    "sq",
    "cy",
    "is",
    "af",
    "vi",
    "ko",
    "hi",
    "fa",
    "ar",
]
VARIANTS = [
    "f1",
    "f2",
    "f3",
    "f4",
    "m1",
    "m2",
    "m3",
    "m4",
    "m5",
    "m6",
    "m8",
    "Alex",
    "Alicia",
    "Andrea",
    "Andy",
    "Annie",
    "Denis",
    "Diogo",
    "Gene",
    "Henrique",
    "Hugo",
    "Jacky",
    "Lee",
    "Marco",
    "Mario",
    "Michael",
    "Mike",
    "adam",
    "antonio",
    "belinda",
    "benjamin",
    "boris",
    "caleb",
    "david",
    "ed",
    "edward",
    "grandma",
    "grandpa",
    "iven",
    "john",
    "linda",
    "max",
    "michel",
    "miguel",
    "norbert",
    "pablo",
    "paul",
    "pedro",
    "quincy",
    "rob",
    "robert",
    "sandro",
    "shelby",
    "steph",
    "travis",
    "victor",
    "zac",
    "klatt",
    "klatt2",
    "klatt4",
]
VOICES = 170
SECONDS_PER_VOICE = 20.0


def main(folder: Path) -> None:
    """Write both sets of voices into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(20261123)
    never = set(HELD_OUT["languages_never_trained"])
    languages = [name for name in LANGUAGES if name not in never]
    train: list[str] = []
    while len(train) < VOICES:
        voice = f"{chance.choice(languages)}+{chance.choice(VARIANTS)}"
        if voice not in train and voice not in HELD_OUT["voices"]:
            train.append(voice)
    _write(folder / "train.ogg", train, seconds=SECONDS_PER_VOICE)
    _write(folder / "held_out.ogg", HELD_OUT["voices"], seconds=24.0)


def _write(path: Path, voices: list[str], *, seconds: float) -> None:
    with ThreadPoolExecutor(2) as pool:
        speeches = list(pool.map(lambda voice: speech(voice, seconds=seconds), voices))
    index, start = [], 0
    for voice, samples in zip(voices, speeches, strict=True):
        index.append({"voice": voice, "start": start, "samples": len(samples)})
        start += len(samples)
    whole = np.concatenate(speeches)
    with soundfile.SoundFile(path, "w", RATE, 1, format="OGG", subtype="VORBIS") as file:
        for piece in np.array_split(whole, max(1, len(whole) // 160_000)):
            file.write(piece)
    path.with_suffix(".json").write_text(json.dumps(index, indent=0))
    print(path, f"{len(whole) / RATE / 60:.1f} minutes, {path.stat().st_size / 2**20:.1f} MiB")


def speech(voice: str, *, seconds: float, seed: int = 0) -> np.ndarray:
    """At least `seconds` of a voice, float32 at 16 kHz, one to three levels and speeds."""
    chance = random.Random(f"{voice}/{seed}")
    parts, total = [], 0.0
    while total < seconds:
        speed, pitch = chance.randint(115, 260), chance.randint(15, 85)
        part = say(sentences(chance), voice=voice, speed=speed, pitch=pitch)
        part = part * 10 ** (chance.uniform(-4, 0) / 20)
        parts.append(part)
        total += len(part) / RATE
    return np.concatenate(parts).astype(np.float32)


def say(text: str, *, voice: str, speed: int, pitch: int) -> np.ndarray:
    """One utterance, float32 at 16 kHz, peak 0.7."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text]
    done = subprocess.run(command, check=True, capture_output=True)
    samples, rate = soundfile.read(io.BytesIO(done.stdout), dtype="float32")
    samples = soxr.resample(samples, rate, RATE)
    return 0.7 * samples / max(1e-3, float(np.abs(samples).max()))


def sentences(chance: random.Random) -> str:
    """A few sentences of invented words and numbers, with pauses of several lengths."""
    words = []
    for _ in range(chance.randint(10, 24)):
        if chance.random() < 0.15:
            word = str(chance.randint(1, 999))
        else:
            onset = [
                "p",
                "b",
                "t",
                "d",
                "k",
                "g",
                "m",
                "n",
                "f",
                "v",
                "s",
                "z",
                "l",
                "r",
                "w",
                "h",
                "sh",
                "ch",
                "st",
                "tr",
                "br",
                "pl",
                "gr",
            ]
            vowel = ["a", "e", "i", "o", "u", "ai", "ou", "ee", "oo", "a", "o"]
            coda = ["", "", "", "n", "m", "s", "l", "r", "t", "k"]
            count = chance.choice((1, 1, 2, 2, 3))
            word = "".join(
                chance.choice(onset) + chance.choice(vowel) + chance.choice(coda)
                for _ in range(count)
            )
        words.append(word + chance.choice(("", "", "", "", "", ",", ".", ". .", "!", "?")))
    return " ".join(words) + "."


if __name__ == "__main__":
    main(Path(sys.argv[1]))
