"""The only place where requests meet the network: one try at a time, answers with a cap."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from attrs import frozen

from .errors import BadReplyError, ConfigError
from .pacing import Clock, RetryPolicy
from .protocol import MAX_REPLY_BYTES, ApiRequest, Exchange, Fault, Reply
from .redaction import UrlFilter, redacted
from .settings import Settings, is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2

ONE_TRY = RetryPolicy(tries=1)
_CONNECT_SECONDS = 5.0
_READ_SECONDS = 30.0


@frozen(kw_only=True)
class Courier:
    """Who asks, where, how patiently; shared by both clients."""

    settings: Settings
    clock: Clock
    retry: RetryPolicy

    def url(self, request: ApiRequest) -> str:
        """The full address of a request."""
        return f"{self.settings.base_url}/{self.settings.endpoint_id}{request.path}"

    def headers(self) -> dict[str, str]:
        """Headers of every API request; the key goes nowhere else."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.settings.api_key:
            headers["Authorization"] = f"Bearer {self.settings.api_key}"
        return headers

    def fault(self, error: Exception) -> Fault:
        """A failure of the HTTP library in our words."""
        import httpx2

        unsent = (
            httpx2.ConnectError,
            httpx2.ConnectTimeout,
            httpx2.PoolTimeout,
            httpx2.UnsupportedProtocol,
            httpx2.ProxyError,
        )
        host = urlsplit(self.settings.base_url).netloc
        said = redacted(error, secret=self.settings.api_key) or "no answer"
        return Fault(
            kind="unsent" if isinstance(error, unsent) else "unanswered",
            message=f"{host}: {type(error).__name__}: {said}",
        )

    def reply(self, response: httpx2.Response, body: bytes) -> Reply:
        """An answer of the HTTP library in our words, the key removed should it be echoed."""
        key = (self.settings.api_key or "").encode()
        return Reply(
            status=response.status_code,
            headers=dict(response.headers),
            body=body.replace(key, b"***") if key and response.status_code >= 400 else body,
        )


def open_client(settings: Settings) -> httpx2.Client:
    """An HTTP client with our timeouts; proxies and CA files of the environment are honoured."""
    import httpx2

    _quieten()
    return httpx2.Client(timeout=_timeout(), trust_env=not is_loopback(settings.base_url))


def open_async_client(settings: Settings) -> httpx2.AsyncClient:
    """The same for asyncio."""
    import httpx2

    _quieten()
    return httpx2.AsyncClient(timeout=_timeout(), trust_env=not is_loopback(settings.base_url))


def send(
    http: httpx2.Client, request: ApiRequest, *, courier: Courier, retry: RetryPolicy | None = None
) -> Reply:
    """The endpoint's agreement to a request, after as many tries as its kind allows."""
    exchange = Exchange(request, policy=retry or courier.retry)
    while True:
        outcome = _try_once(http, request, courier=courier)
        verdict = exchange.heard(outcome, chance=courier.clock.chance())
        if isinstance(verdict, Reply):
            return verdict
        courier.clock.sleep(verdict)


async def send_async(
    http: httpx2.AsyncClient,
    request: ApiRequest,
    *,
    courier: Courier,
    retry: RetryPolicy | None = None,
) -> Reply:
    """The same for asyncio."""
    exchange = Exchange(request, policy=retry or courier.retry)
    while True:
        outcome = await _try_once_async(http, request, courier=courier)
        verdict = exchange.heard(outcome, chance=courier.clock.chance())
        if isinstance(verdict, Reply):
            return verdict
        await courier.clock.sleep_async(verdict)


def _try_once(http: httpx2.Client, request: ApiRequest, *, courier: Courier) -> Reply | Fault:
    import httpx2

    with _readable_configuration():
        try:
            with http.stream(
                request.method,
                courier.url(request),
                content=request.body,
                headers=courier.headers(),
                follow_redirects=False,
            ) as response:
                body = bytearray()
                for piece in response.iter_bytes():
                    _capped(body, piece)
                return courier.reply(response, bytes(body))
        except httpx2.HTTPError as error:
            return courier.fault(error)


async def _try_once_async(
    http: httpx2.AsyncClient, request: ApiRequest, *, courier: Courier
) -> Reply | Fault:
    import httpx2

    with _readable_configuration():
        try:
            async with http.stream(
                request.method,
                courier.url(request),
                content=request.body,
                headers=courier.headers(),
                follow_redirects=False,
            ) as response:
                body = bytearray()
                async for piece in response.aiter_bytes():
                    _capped(body, piece)
                return courier.reply(response, bytes(body))
        except httpx2.HTTPError as error:
            return courier.fault(error)


def _capped(body: bytearray, piece: bytes) -> None:
    body += piece
    if len(body) > MAX_REPLY_BYTES:
        message = f"the endpoint's answer is longer than {MAX_REPLY_BYTES} bytes"
        raise BadReplyError(message=message)


@contextlib.contextmanager
def _readable_configuration() -> Iterator[None]:
    import httpx2

    try:
        yield
    except (httpx2.InvalidURL, UnicodeEncodeError) as error:
        message = f"base_url, endpoint_id or api_key cannot be sent: {error}"
        raise ConfigError(message=message) from None


def _timeout() -> httpx2.Timeout:
    import httpx2

    return httpx2.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS)


def _quieten() -> None:
    logger = logging.getLogger("httpx2")
    if not any(isinstance(one, UrlFilter) for one in logger.filters):
        logger.addFilter(UrlFilter())
