"""Reads what the operator decides from the environment, once."""

# ruff: noqa: RUF009  (variable makes an attrs field; it is not a shared default)

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from attrs import frozen

from .variables import (
    LoraFile,
    count,
    loras,
    one_of,
    path,
    paths,
    positive,
    seconds,
    switch,
    text,
    url,
    variable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

LOG_LEVELS = ("DEBUG", "INFO", "WARN", "ERROR")


class SettingsError(ValueError):
    """Some environment variables cannot be used; `problems` has one sentence for each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "; ".join(self.problems)


@frozen(kw_only=True)
class Settings:
    """What the operator can decide about one worker."""

    ckpt_dir: Path | None = variable(
        "CKPT_DIR",
        parse=path,
        group="Weights",
        words="Folder in the Wan2.1-I2V-14B-480P layout. When none of the weight folders is set, "
        "the tiny model that comes with the project is used, and every result says so.",
    )
    infinitetalk_dir: Path | None = variable(
        "INFINITETALK_DIR",
        parse=path,
        group="Weights",
        words="One InfiniteTalk safetensors file, or the folder that holds `single/` and `multi/`.",
    )
    wav2vec_dir: Path | None = variable(
        "WAV2VEC_DIR",
        parse=path,
        group="Weights",
        words="Folder of the chinese-wav2vec2-base speech encoder.",
    )
    adapter: str | None = variable(
        "ITK_ADAPTER",
        parse=one_of("single", "multi"),
        group="Weights",
        words="Which file of the folder INFINITETALK_DIR: `single` or `multi`. Unset: `single` "
        "where it is there. Two speakers work with both; results made with `single` say so.",
    )
    quant_dir: Path | None = variable(
        "QUANT_DIR",
        parse=path,
        group="Weights",
        words="One quantised InfiniteTalk safetensors file, or the folder that holds only that "
        "one; it replaces the transformer. Jobs may name it: `quant` int8 or fp8 as the file is, "
        "`quant_dir` as its path or file name.",
    )
    loras: tuple[LoraFile, ...] = variable(
        "ITK_LORAS",
        parse=loras,
        group="Weights",
        default=(),
        words="LoRAs that are merged, all of them, when the weights are read: "
        "`lightx2v=/loras/lightx2v.safetensors:1.0`, separated by commas; the scale may be left "
        "out. A job that names LoRAs, or a preset with LoRAs (`fast-4`: lightx2v, `fast-8`: "
        "fusionx), must name exactly these; one that names none is made with them and warned.",
    )
    kokoro_dir: Path | None = variable(
        "KOKORO_DIR",
        parse=path,
        group="Weights",
        words="Folder with Kokoro's ONNX model and voices, which speak `tts_audio`; it needs the "
        "extra `itk-worker[tts]`. Unset: jobs with text are refused.",
    )
    model_cache: Path | None = variable(
        "MODEL_CACHE",
        parse=path,
        group="Weights",
        words="Folder for what the worker makes and may keep between starts; "
        "default `$XDG_CACHE_HOME/itk` or `~/.cache/itk`.",
    )

    device: str = variable(
        "ITK_DEVICE",
        parse=text,
        group="Engine",
        default="auto",
        words="`auto`, `cpu`, `cuda` or `cuda:1`.",
    )
    dtype: str = variable(
        "ITK_DTYPE",
        parse=one_of("auto", "float32", "bfloat16"),
        group="Engine",
        default="auto",
        words="`auto` is bfloat16 on CUDA and float32 on the CPU.",
    )
    attention: str = variable(
        "ITK_ATTENTION",
        parse=one_of("auto", "sdpa", "cudnn", "flash4"),
        group="Engine",
        default="auto",
        words="Attention backend: `auto`, `sdpa`, `cudnn`, `flash4`. `auto` is flash-attn-4 (the "
        "extra `itk-worker[flash]`) where it is installed and works on the card, else PyTorch's "
        "own with cuDNN's kernels first.",
    )
    vram_budget_gib: float | None = variable(
        "ITK_VRAM_BUDGET_GIB",
        parse=positive,
        group="Engine",
        words="Most GPU memory that the engine takes, in GiB. Unset: all that is free.",
    )
    fp8: str = variable(
        "ITK_FP8",
        parse=one_of("never", "when_needed", "always"),
        group="Engine",
        default="never",
        words="Quantise the transformer to fp8 at load: `never`, `always`, or `when_needed`, where "
        "it would not fit otherwise. It changes the picture a little.",
    )

    tts: str = variable(
        "ITK_TTS",
        parse=one_of("auto", "kokoro", "espeak", "off"),
        group="Engine",
        default="auto",
        words="Who speaks `tts_audio`: `auto` is Kokoro where KOKORO_DIR is set; `espeak` is "
        "espeak-ng, a stand-in without weights that sounds like a machine; `kokoro`, `off`.",
    )

    max_video_seconds: float | None = variable(
        "MAX_VIDEO_SECONDS",
        parse=seconds,
        group="Limits",
        words="Jobs whose video would be longer are refused. Unset: no bound.",
    )
    execution_timeout_seconds: float | None = variable(
        "EXECUTION_TIMEOUT_SECONDS",
        parse=seconds,
        group="Limits",
        words="The endpoint's execution timeout. A worker is not told it, so repeat it here; "
        "the smaller of this and the job's `deadline_seconds` counts. Unset: only the job's.",
    )
    output_limit_bytes: int = variable(
        "ITK_OUTPUT_LIMIT_BYTES",
        parse=count,
        group="Limits",
        default=9_500_000,
        words="Largest result, as JSON, that the worker hands to Runpod, which drops what is over "
        "10 MB. An inline video that would not fit is an error.",
    )
    min_free_bytes: int = variable(
        "ITK_MIN_FREE_BYTES",
        parse=count,
        group="Limits",
        default=500_000_000,
        words="Free space that the temporary folder must have before the worker takes jobs.",
    )

    temp_dir: Path | None = variable(
        "ITK_TEMP_DIR",
        parse=path,
        group="Files",
        words="Where each job's temporary folder is made. Unset: the system's.",
    )
    volume_dir: Path = variable(
        "ITK_VOLUME_DIR",
        parse=path,
        group="Files",
        default=Path("/runpod-volume"),
        words="The network volume: jobs may read files below it, `store: volume` writes to it.",
    )
    volume_url: str | None = variable(
        "ITK_VOLUME_URL",
        parse=url,
        group="Files",
        words="Where a reverse proxy serves the volume; results then carry URLs. "
        "Unset: they carry path and key.",
    )
    input_roots: tuple[Path, ...] = variable(
        "ITK_INPUT_ROOTS",
        parse=paths,
        group="Files",
        default=(),
        words="More folders from which jobs may name files, separated by colons.",
    )
    allow_private_urls: bool = variable(
        "ITK_ALLOW_PRIVATE_URLS",
        parse=switch,
        group="Files",
        default=False,
        words="Let jobs name URLs inside the private network. For a local endpoint only.",
    )

    s3_endpoint: str | None = variable(
        "S3_ENDPOINT",
        "BUCKET_ENDPOINT_URL",
        parse=url,
        group="Object storage",
        words="Base address of the S3-compatible storage, without the bucket.",
    )
    s3_region: str | None = variable(
        "S3_REGION", parse=text, group="Object storage", words="Region of the bucket."
    )
    s3_access_key: str | None = variable(
        "S3_ACCESS_KEY",
        "BUCKET_ACCESS_KEY_ID",
        parse=text,
        group="Object storage",
        secret=True,
        words="Access key id.",
    )
    s3_secret_key: str | None = variable(
        "S3_SECRET_KEY",
        "BUCKET_SECRET_ACCESS_KEY",
        parse=text,
        group="Object storage",
        secret=True,
        words="Secret access key.",
    )
    s3_bucket: str | None = variable(
        "S3_BUCKET", parse=text, group="Object storage", words="Name of the bucket."
    )
    s3_public_base: str | None = variable(
        "S3_PUBLIC_BASE",
        parse=url,
        group="Object storage",
        words="Public address of the bucket, if it has one; results then carry plain URLs.",
    )

    log_level: str = variable(
        "ITK_LOG_LEVEL",
        parse=one_of(*LOG_LEVELS),
        group="Log",
        default="INFO",
        words="`DEBUG`, `INFO`, `WARN` or `ERROR`.",
    )
    runpod_log_level: str = variable(
        "RUNPOD_LOG_LEVEL",
        "RUNPOD_DEBUG_LEVEL",
        parse=text,
        group="Log",
        default="WARN",
        words="What Runpod's own loop logs. Its default, DEBUG, logs whole results with their "
        "signed URLs, so the worker sets WARN unless told.",
    )
    parent_pid: int | None = variable(
        "ITK_PARENT_PID",
        parse=count,
        group="Process",
        words="Set by the local endpoint: the worker ends when this process is gone.",
    )
    home_cache: Path | None = variable(
        "XDG_CACHE_HOME",
        parse=path,
        group="Process",
        words="The user's cache folder; unset: `~/.cache`.",
    )
    api_key: str | None = variable(
        "RUNPOD_AI_API_KEY",
        parse=text,
        group="Process",
        secret=True,
        words="Set by Runpod: what the worker shows to fetch jobs. Redacted from every log.",
    )
    post_output: str | None = variable(
        "RUNPOD_WEBHOOK_POST_OUTPUT",
        parse=text,
        group="Process",
        words="Set by Runpod: where results and progress go. Unset: progress is only logged.",
    )

    @classmethod
    def from_environment(cls, env: Mapping[str, str] | None = None) -> Settings:
        """The settings that the environment asks for; empty variables count as unset.

        Raises:
            SettingsError: names every variable that cannot be used, all at once.
        """
        env = os.environ if env is None else env
        values: dict[str, Any] = {}
        problems: list[str] = []
        for setting in attrs.fields(cls):
            name = next((n for n in setting.metadata["names"] if env.get(n, "").strip()), None)
            if name is None:
                continue
            try:
                values[setting.name] = setting.metadata["parse"](env[name].strip())
            except ValueError as error:
                shown = "a usable value" if setting.metadata["secret"] else str(error)
                problems.append(f"{name} must be {shown}")
        if problems:
            raise SettingsError(tuple(problems))
        return cls(**values)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must never reach a log, an error or a result."""
        values = (getattr(self, f.name) for f in attrs.fields(type(self)) if f.metadata["secret"])
        return tuple(value for value in values if value)

    @property
    def roots(self) -> tuple[Path, ...]:
        """The folders below which a job may name files."""
        return (self.volume_dir, *self.input_roots)

    @property
    def cache(self) -> Path:
        """Where the worker keeps what it makes between starts."""
        return self.model_cache or (self.home_cache or Path.home() / ".cache") / "itk"

    @property
    def no_weights(self) -> bool:
        """Whether the operator configured no weights at all."""
        return not (self.ckpt_dir or self.infinitetalk_dir or self.wav2vec_dir or self.quant_dir)


def reference() -> str:
    """The page docs/worker-settings.md: every variable with its default and meaning."""
    lines = [
        "# What the worker reads from its environment",
        "",
        "Made by `python -m itk_worker.settings`; a test keeps it current.",
        "Where two names are given, the first one wins. Secrets are never logged.",
    ]
    group = None
    for setting in attrs.fields(Settings):
        about = setting.metadata
        if about["group"] != group:
            group = about["group"]
            lines += ["", f"## {group}", "", "| Variable | Default | Meaning |", "|---|---|---|"]
        names = ", ".join(f"`{name}`" for name in about["names"])
        lines.append(f"| {names} | {_shown_default(setting)} | {about['help']} |")
    return "\n".join(lines) + "\n"


def _shown_default(setting: attrs.Attribute[Any]) -> str:
    default = setting.default
    if default is None or default == ():
        return "unset"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
