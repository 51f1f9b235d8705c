"""Downloads one file over HTTP without being led astray, overrun or kept waiting."""

from __future__ import annotations

import time
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import IO, TYPE_CHECKING, Any

from attrs import frozen

from .addresses import checked_addresses
from .errors import (
    BlockedAddressError,
    DownloadError,
    InvalidSourceError,
    MediaError,
    TooLargeError,
)
from .rules import DownloadRules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import httpcore2
    import httpx2

_REDIRECTS = {301, 302, 303, 307, 308}
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_MOST_REDIRECTS = 3
_LONGEST_PAUSE_SECONDS = 30.0


@frozen
class _PassingError(Exception):
    """A failure that another attempt may overcome."""

    error: DownloadError
    pause_seconds: float = 0.0


def download(url: str, sink: IO[bytes], *, max_bytes: int, rules: DownloadRules) -> None:
    """Write the file at an http(s) address to ``sink``.

    Every hop's host is resolved and all its addresses checked; the connection is then made
    to a checked address. Raises BlockedAddressError, InvalidSourceError (a malformed or
    forbidden address), TooLargeError, or DownloadError with its ``retryable`` mark.
    """
    errand = _Errand(
        sink=sink,
        max_bytes=max_bytes,
        rules=rules,
        deadline=rules.clock() + rules.deadline_seconds,
    )
    for attempt in range(1, rules.attempts + 1):
        sink.seek(0)
        sink.truncate()
        try:
            errand.follow(url)
        except _PassingError as failure:
            pause = max(failure.pause_seconds, 0.5 * 2**attempt)
            if attempt == rules.attempts or rules.clock() + pause >= errand.deadline:
                raise failure.error from failure
            rules.sleep(pause)
        else:
            return


def check_url(text: str, rules: DownloadRules) -> httpx2.URL:
    """Return a parsed address of an allowed shape; raises InvalidSourceError otherwise."""
    import httpx2

    if any(ord(letter) < 33 or ord(letter) == 127 or letter == "\\" for letter in text):
        raise InvalidSourceError("the address holds spaces or control characters", "bad_url")
    try:
        url = httpx2.URL(text)
    except (httpx2.InvalidURL, ValueError) as error:
        raise InvalidSourceError(f"the address is malformed: {error}", "bad_url") from error
    if url.scheme not in {"http", "https"} or not url.host:
        message = f"an address must begin with http:// or https://, got scheme {url.scheme!r}"
        raise InvalidSourceError(message, "bad_scheme")
    if url.userinfo:
        raise InvalidSourceError("an address must not carry a user name or password", "bad_url")
    if not rules.allow_private and _port(url) not in rules.ports:
        allowed = ", ".join(str(port) for port in sorted(rules.ports))
        message = f"port {_port(url)} is not allowed; allowed are {allowed}"
        raise BlockedAddressError(message, "blocked_port")
    return url


@frozen(kw_only=True)
class _Errand:
    """One download: where the bytes go, and by when."""

    sink: IO[bytes]
    max_bytes: int
    rules: DownloadRules
    deadline: float

    def follow(self, text: str) -> None:
        """Fetch an address through at most three redirects, each checked like the first."""
        url = check_url(text, self.rules)
        for _ in range(_MOST_REDIRECTS + 1):
            location = self.get(url)
            if location is None:
                return
            url = check_url(str(url.join(location)), self.rules)
        message = f"the address redirects more than {_MOST_REDIRECTS} times"
        raise DownloadError(message, "too_many_redirects", retryable=False)

    def get(self, url: httpx2.URL) -> str | None:
        """Fetch one hop: the body goes to ``sink``, a redirect's target is returned."""
        import httpcore2

        target = httpcore2.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        headers = [
            (b"Host", url.netloc),
            (b"Accept", b"*/*"),
            (b"Accept-Encoding", b"identity"),
            (b"User-Agent", b"itk-media"),
            (b"Connection", b"close"),
        ]
        stalls = dict.fromkeys(("connect", "read", "write", "pool"), self.rules.stall_seconds)
        with (
            _translated(url.host),
            self._pool() as pool,
            pool.stream("GET", target, headers=headers, extensions={"timeout": stalls}) as answer,
        ):
            fields = {name.lower(): value for name, value in answer.headers}
            if answer.status in _REDIRECTS and b"location" in fields:
                return fields[b"location"].decode("latin-1")
            _check_status(answer.status, fields, url.host)
            self._check_length(fields)
            self._receive(answer.iter_stream())
        return None

    def _pool(self) -> httpcore2.ConnectionPool:
        import httpcore2

        from .pinned import PinnedBackend

        def addresses(host: str, port: int) -> list[str]:
            return checked_addresses(
                host, port, allow_private=self.rules.allow_private, resolve=self.rules.resolve
            )

        backend = PinnedBackend(addresses, deadline=self.deadline, clock=self.rules.clock)
        return httpcore2.ConnectionPool(ssl_context=self.rules.ssl_context, network_backend=backend)

    def _check_length(self, fields: dict[bytes, bytes]) -> None:
        encoding = fields.get(b"content-encoding", b"identity").strip().lower()
        if encoding not in {b"", b"identity"}:
            message = f"the server insists on content encoding {encoding.decode('latin-1')!r}"
            raise DownloadError(message, "content_encoding", retryable=False)
        length = fields.get(b"content-length", b"")
        if length.isdigit() and int(length) > self.max_bytes:
            raise self._too_large()

    def _receive(self, parts: Iterable[bytes]) -> None:
        total, start = 0, self.rules.clock()
        for part in parts:
            total += len(part)
            if total > self.max_bytes:
                raise self._too_large()
            self.sink.write(part)
            elapsed = self.rules.clock() - start
            slowest = elapsed * self.rules.lowest_bytes_per_second
            if elapsed > self.rules.grace_seconds and total < slowest:
                message = f"the file arrives at {total / elapsed:.0f} bytes a second, too slowly"
                raise _PassingError(DownloadError(message, "too_slow"))
        if not total:
            raise DownloadError("the server sent an empty file", "empty", retryable=False)

    def _too_large(self) -> TooLargeError:
        return TooLargeError(f"the file has more than the {self.max_bytes} bytes allowed")


def _check_status(status: int, fields: dict[bytes, bytes], host: str) -> None:
    if status == 200:
        return
    message = f"{host} answered with status {status}"
    error = DownloadError(message, f"http_{status}", retryable=status in _PASSING)
    if error.retryable:
        raise _PassingError(error, _pause_seconds(fields.get(b"retry-after", b"")))
    raise error


def _pause_seconds(retry_after: bytes) -> float:
    """Read a Retry-After header (seconds or a date); nonsense counts as none."""
    text = retry_after.decode("latin-1").strip()
    try:
        if text.isdigit():
            wanted = float(text)
        else:
            wanted = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(wanted, 0.0), _LONGEST_PAUSE_SECONDS)


def _port(url: httpx2.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


@contextmanager
def _translated(host: str) -> Iterator[Any]:
    """Give the HTTP library's errors our words; all of them may pass, but for bad certificates."""
    import ssl

    import httpcore2

    try:
        yield
    except MediaError:
        raise
    except httpcore2.TimeoutException as error:
        failure = DownloadError(f"{host} took too long to answer", "timeout")
        raise _PassingError(failure) from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
        if isinstance(error.__cause__ or error.__context__ or error, ssl.SSLCertVerificationError):
            message = f"the certificate of {host} is not valid"
            raise DownloadError(message, "bad_certificate", retryable=False) from error
        failure = DownloadError(f"the connection to {host} failed: {error}", "connection")
        raise _PassingError(failure) from error
