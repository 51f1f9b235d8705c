"""Reads what the operator decides from the environment, once."""

# ruff: noqa: RUF009  (_setting makes an attrs field; it is not a shared default)

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LOG_LEVELS = ("DEBUG", "INFO", "WARN", "ERROR")


class SettingsError(ValueError):
    """Some environment variables cannot be used; `problems` has one sentence for each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "; ".join(self.problems)


def _text(value: str) -> str:
    return value


def _path(value: str) -> Path:
    path = Path(value).expanduser()
    if not path.is_absolute():
        message = f"an absolute path, got {value!r}"
        raise ValueError(message)
    return path


def _paths(value: str) -> tuple[Path, ...]:
    return tuple(_path(part) for part in value.split(os.pathsep) if part)


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 10**7:
        message = f"a positive number of seconds, got {value!r}"
        raise ValueError(message)
    return seconds


def _count(value: str) -> int:
    if not value.isascii() or not value.isdecimal() or len(value) > 15:
        message = f"a whole number, got {value!r}"
        raise ValueError(message)
    return int(value)


def _switch(value: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if value.lower() not in known:
        message = f"true or false, got {value!r}"
        raise ValueError(message)
    return known[value.lower()]


def _url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        message = f"a URL that begins with http:// or https://, got {value!r}"
        raise ValueError(message)
    return value


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        for word in words:
            if value.lower() == word.lower():
                return word
        message = f"one of {', '.join(words)}, got {value!r}"
        raise ValueError(message)

    return parse


def _setting(
    *names: str,
    parse: Callable[[str], Any],
    group: str,
    words: str,
    default: Any = None,
    secret: bool = False,
) -> Any:
    """One environment variable: its names (the first one wins), meaning and default."""
    return field(
        default=default,
        repr=not secret,
        metadata={"names": names, "parse": parse, "group": group, "help": words, "secret": secret},
    )


@frozen(kw_only=True)
class Settings:
    """What the operator can decide about one worker."""

    ckpt_dir: Path | None = _setting(
        "CKPT_DIR",
        parse=_path,
        group="Weights",
        words="Folder in the Wan2.1-I2V-14B-480P layout. When none of the weight folders is set, "
        "a tiny checkpoint with random weights is made, and every result says so.",
    )
    infinitetalk_dir: Path | None = _setting(
        "INFINITETALK_DIR",
        parse=_path,
        group="Weights",
        words="One InfiniteTalk safetensors file, or the folder that holds `single/` and `multi/`.",
    )
    wav2vec_dir: Path | None = _setting(
        "WAV2VEC_DIR",
        parse=_path,
        group="Weights",
        words="Folder of the chinese-wav2vec2-base speech encoder.",
    )
    quant_dir: Path | None = _setting(
        "QUANT_DIR",
        parse=_path,
        group="Weights",
        words="One quantised InfiniteTalk safetensors file; it replaces the transformer.",
    )
    kokoro_dir: Path | None = _setting(
        "KOKORO_DIR",
        parse=_path,
        group="Weights",
        words="Folder with Kokoro's ONNX model and voices, which speak `tts_audio`; it needs the "
        "extra `itk-worker[tts]`. Unset: jobs with text are refused.",
    )
    model_cache: Path | None = _setting(
        "MODEL_CACHE",
        parse=_path,
        group="Weights",
        words="Folder for what the worker makes and may keep between starts; "
        "default `$XDG_CACHE_HOME/itk` or `~/.cache/itk`.",
    )

    device: str = _setting(
        "ITK_DEVICE",
        parse=_text,
        group="Engine",
        default="auto",
        words="`auto`, `cpu`, `cuda` or `cuda:1`.",
    )
    dtype: str = _setting(
        "ITK_DTYPE",
        parse=_one_of("auto", "float32", "bfloat16"),
        group="Engine",
        default="auto",
        words="`auto` is bfloat16 on CUDA and float32 on the CPU.",
    )
    attention: str = _setting(
        "ITK_ATTENTION",
        parse=_one_of("auto", "sdpa", "cudnn", "flash4"),
        group="Engine",
        default="auto",
        words="Attention backend: `auto`, `sdpa`, `cudnn`, `flash4`.",
    )

    tts: str = _setting(
        "ITK_TTS",
        parse=_one_of("auto", "kokoro", "espeak", "off"),
        group="Engine",
        default="auto",
        words="Who speaks `tts_audio`: `auto` is Kokoro where KOKORO_DIR is set; `espeak` is "
        "espeak-ng, a stand-in without weights that sounds like a machine; `kokoro`, `off`.",
    )

    max_video_seconds: float | None = _setting(
        "MAX_VIDEO_SECONDS",
        parse=_seconds,
        group="Limits",
        words="Jobs whose video would be longer are refused. Unset: no bound.",
    )
    execution_timeout_seconds: float | None = _setting(
        "EXECUTION_TIMEOUT_SECONDS",
        parse=_seconds,
        group="Limits",
        words="The endpoint's execution timeout. A worker is not told it, so repeat it here; "
        "the smaller of this and the job's `deadline_seconds` counts. Unset: only the job's.",
    )
    output_limit_bytes: int = _setting(
        "ITK_OUTPUT_LIMIT_BYTES",
        parse=_count,
        group="Limits",
        default=9_500_000,
        words="Largest result, as JSON, that the worker hands to Runpod, which drops what is over "
        "10 MB. An inline video that would not fit is an error.",
    )
    min_free_bytes: int = _setting(
        "ITK_MIN_FREE_BYTES",
        parse=_count,
        group="Limits",
        default=500_000_000,
        words="Free space that the temporary folder must have before the worker takes jobs.",
    )

    temp_dir: Path | None = _setting(
        "ITK_TEMP_DIR",
        parse=_path,
        group="Files",
        words="Where each job's temporary folder is made. Unset: the system's.",
    )
    volume_dir: Path = _setting(
        "ITK_VOLUME_DIR",
        parse=_path,
        group="Files",
        default=Path("/runpod-volume"),
        words="The network volume: jobs may read files below it, `store: volume` writes to it.",
    )
    volume_url: str | None = _setting(
        "ITK_VOLUME_URL",
        parse=_url,
        group="Files",
        words="Where a reverse proxy serves the volume; results then carry URLs. "
        "Unset: they carry path and key.",
    )
    input_roots: tuple[Path, ...] = _setting(
        "ITK_INPUT_ROOTS",
        parse=_paths,
        group="Files",
        default=(),
        words="More folders from which jobs may name files, separated by colons.",
    )
    allow_private_urls: bool = _setting(
        "ITK_ALLOW_PRIVATE_URLS",
        parse=_switch,
        group="Files",
        default=False,
        words="Let jobs name URLs inside the private network. For a local endpoint only.",
    )

    s3_endpoint: str | None = _setting(
        "S3_ENDPOINT",
        "BUCKET_ENDPOINT_URL",
        parse=_url,
        group="Object storage",
        words="Base address of the S3-compatible storage, without the bucket.",
    )
    s3_region: str | None = _setting(
        "S3_REGION", parse=_text, group="Object storage", words="Region of the bucket."
    )
    s3_access_key: str | None = _setting(
        "S3_ACCESS_KEY",
        "BUCKET_ACCESS_KEY_ID",
        parse=_text,
        group="Object storage",
        secret=True,
        words="Access key id.",
    )
    s3_secret_key: str | None = _setting(
        "S3_SECRET_KEY",
        "BUCKET_SECRET_ACCESS_KEY",
        parse=_text,
        group="Object storage",
        secret=True,
        words="Secret access key.",
    )
    s3_bucket: str | None = _setting(
        "S3_BUCKET", parse=_text, group="Object storage", words="Name of the bucket."
    )
    s3_public_base: str | None = _setting(
        "S3_PUBLIC_BASE",
        parse=_url,
        group="Object storage",
        words="Public address of the bucket, if it has one; results then carry plain URLs.",
    )

    log_level: str = _setting(
        "ITK_LOG_LEVEL",
        parse=_one_of(*LOG_LEVELS),
        group="Log",
        default="INFO",
        words="`DEBUG`, `INFO`, `WARN` or `ERROR`.",
    )
    runpod_log_level: str = _setting(
        "RUNPOD_LOG_LEVEL",
        "RUNPOD_DEBUG_LEVEL",
        parse=_text,
        group="Log",
        default="WARN",
        words="What Runpod's own loop logs. Its default, DEBUG, logs whole results with their "
        "signed URLs, so the worker sets WARN unless told.",
    )
    parent_pid: int | None = _setting(
        "ITK_PARENT_PID",
        parse=_count,
        group="Process",
        words="Set by the local endpoint: the worker ends when this process is gone.",
    )
    home_cache: Path | None = _setting(
        "XDG_CACHE_HOME",
        parse=_path,
        group="Process",
        words="The user's cache folder; unset: `~/.cache`.",
    )
    api_key: str | None = _setting(
        "RUNPOD_AI_API_KEY",
        parse=_text,
        group="Process",
        secret=True,
        words="Set by Runpod: what the worker shows to fetch jobs. Redacted from every log.",
    )
    post_output: str | None = _setting(
        "RUNPOD_WEBHOOK_POST_OUTPUT",
        parse=_text,
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
