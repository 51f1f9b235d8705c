"""Where the endpoint is and who asks: arguments, then the environment, then a profile file."""

from __future__ import annotations

import ipaddress
import os
import stat
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from attrs import field, frozen

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_BASE_URL = "https://api.runpod.ai/v2"
_KEYS = ("api_key", "endpoint_id", "base_url")


@frozen(kw_only=True)
class Settings:
    """What every request needs; the key is never shown."""

    endpoint_id: str
    base_url: str = DEFAULT_BASE_URL
    api_key: str | None = field(default=None, repr=False)

    @property
    def origin(self) -> str:
        """Scheme, host and port of the endpoint."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}"


def find_settings(
    *,
    endpoint_id: str | None = None,
    api_key: str | None = None,
    base_url: str | None = None,
    profile: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """The settings in force: what is said, else RUNPOD_API_KEY, ITK_ENDPOINT_ID or
    RUNPOD_ENDPOINT_ID and ITK_BASE_URL, else the profile (ITK_PROFILE, default "default").

    Raises:
        ConfigError: when the endpoint or the key is missing, or the key would travel in the open.
    """  # noqa: D205  one sentence, two lines
    env = os.environ if environment is None else environment
    saved = read_profile(profile or env.get("ITK_PROFILE") or "default", environment=env)
    url = (base_url or env.get("ITK_BASE_URL") or saved.get("base_url") or DEFAULT_BASE_URL).strip()
    url = url.rstrip("/")
    name = (
        endpoint_id
        or env.get("ITK_ENDPOINT_ID")
        or env.get("RUNPOD_ENDPOINT_ID")
        or saved.get("endpoint_id")
        or ("local" if is_loopback(url) else None)
    )
    key = api_key or env.get("RUNPOD_API_KEY") or saved.get("api_key")
    _check_url(url, has_key=bool(key))
    if not name:
        message = "no endpoint: give endpoint_id (--endpoint-id) or set ITK_ENDPOINT_ID"
        raise ConfigError(message=message)
    if not key and urlsplit(url).scheme == "https":
        message = "no API key: give api_key, set RUNPOD_API_KEY, or save it in a profile"
        raise ConfigError(message=message)
    return Settings(endpoint_id=name.strip(), base_url=url, api_key=key.strip() if key else None)


def profile_path(environment: Mapping[str, str] | None = None) -> Path:
    """Where profiles are kept: ITK_CONFIG, else itk/config.toml in the user's settings folder."""
    env = os.environ if environment is None else environment
    if env.get("ITK_CONFIG"):
        return Path(env["ITK_CONFIG"])
    home = env.get("XDG_CONFIG_HOME") or env.get("APPDATA")
    return (Path(home) if home else Path.home() / ".config") / "itk" / "config.toml"


def read_profile(
    name: str = "default", *, environment: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The settings saved under a name; empty when there is no such file.

    Raises:
        ConfigError: when the file cannot be read, or others may read a key in it.
    """
    path = profile_path(environment)
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            saved: Any = tomllib.load(file).get(name, {})
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path} cannot be read: {type(error).__name__}"
        raise ConfigError(message=message) from None
    if not isinstance(saved, dict):
        message = f"{path}: [{name}] must be a table, got {type(saved).__name__}"
        raise ConfigError(message=message)
    unknown = sorted(set(saved) - set(_KEYS))
    if unknown:
        message = f"{path}: [{name}] has unknown names {unknown}; it may have {list(_KEYS)}"
        raise ConfigError(message=message)
    if saved.get("api_key") and os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        message = f"{path} holds an API key and others may read it; run: chmod 600 {path}"
        raise ConfigError(message=message)
    return {key: str(value) for key, value in saved.items()}


def save_profile(
    name: str, values: Mapping[str, str], *, environment: Mapping[str, str] | None = None
) -> Path:
    """Write settings under a name, readable by nobody else; other profiles stay."""
    path = profile_path(environment)
    everything: dict[str, dict[str, str]] = {}
    if path.exists():
        with path.open("rb") as file:
            everything = tomllib.load(file)
    everything[name] = {**everything.get(name, {}), **values}
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(_toml(table, entries) for table, entries in everything.items())
    draft.replace(path)
    return path


def is_loopback(url: str) -> bool:
    """Whether an address can only mean this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_url(url: str, *, has_key: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        message = f"base_url must be an http(s) address such as {DEFAULT_BASE_URL}, got {url!r}"
        raise ConfigError(message=message)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(message="base_url must have no user, query or fragment")
    if parts.scheme == "http" and has_key and not is_loopback(url):
        message = f"the API key would travel unencrypted to {parts.netloc}; use an https base_url"
        raise ConfigError(message=message)


def _toml(table: str, entries: Mapping[str, str]) -> str:
    lines = [f"{key} = {_toml_string(str(value))}" for key, value in entries.items()]
    return f"[{_toml_string(table)}]\n" + "\n".join(lines) + "\n\n"


def _toml_string(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
