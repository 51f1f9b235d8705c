"""Where a job's files go and what they are called."""

import re
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from attrs import field, frozen

from .checks import born_valid
from .limits import MAX_KEY_BYTES, MAX_PREFIX_CHARACTERS, MAX_URL_CHARACTERS
from .rules import END, URL, matches, rule

Store: TypeAlias = Literal["s3", "volume", "inline"]
ArtifactSuffix: TypeAlias = Literal[".mp4", ".jpg", ".json", ".m3u8"]

DEFAULT_PREFIX = "infinitetalk"
_SEGMENT = r"(?!\.{1,2}(?:/|(?![\s\S])))(?:[A-Za-z0-9._=+@ -]|\{date\})+"
PREFIX = rf"^{_SEGMENT}(?:/{_SEGMENT})*/?{END}"
PREFIX_WORDS = (
    "a relative key prefix such as infinitetalk/jobs, without '..'; "
    "{date} in it becomes the day, as 2026-01-31"
)
_BUCKET = rf"^[a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9]{END}"
_REGION = rf"^[A-Za-z0-9][A-Za-z0-9_-]{{0,63}}{END}"


@frozen(kw_only=True)
class OutputConfig:
    """Where the files of a job go."""

    store: Store | None = field(
        default=None,
        metadata=rule(
            help="Kind of storage; when absent s3 if configured, else the volume, else inline.",
            group="storage",
        ),
    )
    bucket: str | None = field(
        default=None,
        metadata=rule(
            help="S3 bucket, one that the endpoint allows.",
            group="storage",
            pattern=_BUCKET,
            words="the name of a bucket: 3 to 63 lower-case letters, digits, '.' and '-'",
        ),
    )
    region: str | None = field(
        default=None,
        metadata=rule(
            help="Region of the bucket.",
            group="storage",
            pattern=_REGION,
            words="the name of a region, such as eu-west-1",
        ),
    )
    prefix: str | None = field(
        default=None,
        metadata=rule(
            help="Where keys begin; {date} becomes the day.",
            group="storage",
            pattern=PREFIX,
            words=PREFIX_WORDS,
            max_length=MAX_PREFIX_CHARACTERS,
        ),
    )
    playlist: bool | None = field(
        default=None,
        metadata=rule(help="Publish an HLS playlist while the video is made.", group="storage"),
    )
    put_url: str | None = field(
        default=None,
        metadata=rule(
            help="A presigned URL of the caller's to which the video is PUT.",
            group="storage",
            pattern=URL,
            words="an http(s) URL without a user name",
            max_length=MAX_URL_CHARACTERS,
            secret=True,
        ),
    )

    def __attrs_post_init__(self) -> None:
        born_valid(self)


@frozen(kw_only=True)
class ArtifactNames:
    """What the names of a job's files are made of."""

    job_id: str
    size: str
    sample_steps: int
    seed: int
    prefix: str = DEFAULT_PREFIX
    item_id: str | None = None
    day: str = ""
    """For a {date} in the prefix, as 2026-01-31; today in UTC when empty."""

    @property
    def folder(self) -> str:
        """The part of the key before the file's name, without a slash at its end."""
        if not matches(PREFIX, self.prefix):
            message = f"needs {PREFIX_WORDS}, got {self.prefix[:80]!r}"
            raise ValueError(message)
        day = self.day or datetime.now(UTC).date().isoformat()
        prefix = self.prefix.replace("{date}", day).rstrip("/")
        parts = [prefix, safe_name(self.job_id)]
        return "/".join(parts if self.item_id is None else [*parts, safe_name(self.item_id)])

    @property
    def stem(self) -> str:
        """The file's name without its extension."""
        job_id = safe_name(self.job_id)
        return f"infitalk_{self.size}_{self.sample_steps}_seed{self.seed}_{job_id}"

    def key(self, suffix: ArtifactSuffix) -> str:
        """Return the whole key of the file with this extension; ValueError when it is too long."""
        key = f"{self.folder}/{self.stem}{suffix}"
        if len(key.encode()) > MAX_KEY_BYTES:
            message = f"a key needs at most {MAX_KEY_BYTES} bytes, got {len(key.encode())}"
            raise ValueError(message)
        return key


def safe_name(name: str) -> str:
    """Return a name that is one segment of a path, whatever the id it comes from.

    Characters other than letters, digits, '.', '_' and '-' become '_', and so does a leading dot.
    """
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:128]
    return re.sub(r"^\.", "_", safe) or "_"
