"""What the operator of the page decides, read once from the environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attrs import field, frozen

from itk_client import ConfigError, Settings, find_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@frozen(kw_only=True)
class PageSettings:
    """Where the page listens, and which endpoint it offers."""

    host: str = "127.0.0.1"
    port: int = 7860
    base_url: str | None = None
    endpoint_id: str | None = None
    api_key: str | None = field(default=None, repr=False)
    """Used for people who give none; only where the page is on this machine alone."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> PageSettings:
        """Read ITK_PAGE_HOST, ITK_PAGE_PORT and the client's own variables."""
        env = os.environ if environment is None else environment
        host = env.get("ITK_PAGE_HOST") or cls().host
        port = env.get("ITK_PAGE_PORT") or str(cls().port)
        if not port.isdigit():
            message = f"ITK_PAGE_PORT must be a number, got {port!r}"
            raise ConfigError(message=message)
        return cls(
            host=host,
            port=int(port),
            base_url=env.get("ITK_BASE_URL"),
            endpoint_id=env.get("ITK_ENDPOINT_ID") or env.get("RUNPOD_ENDPOINT_ID"),
            api_key=env.get("RUNPOD_API_KEY") if host in LOOPBACK else None,
        )

    def for_person(self, endpoint_id: str | None, api_key: str | None) -> Settings:
        """The client's settings for what a person typed, the operator's where it is empty.

        Raises:
            ConfigError: when the endpoint or the key is missing.
        """
        return find_settings(
            endpoint_id=(endpoint_id or "").strip() or self.endpoint_id,
            api_key=(api_key or "").strip() or self.api_key,
            base_url=self.base_url,
            environment={},
        )
