"""Connects to addresses that were checked, and to no others, until a deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpcore2

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable


class PinnedBackend(httpcore2.NetworkBackend):
    """A network backend whose name resolution is the caller's check.

    The name is resolved once and the connection goes to that very address, so a second
    answer of the name server (DNS rebinding) is never asked for. TLS still uses the name.
    """

    def __init__(
        self,
        addresses: Callable[[str, int], list[str]],
        *,
        deadline: float,
        clock: Callable[[], float],
    ) -> None:
        self._addresses = addresses
        self._deadline = deadline
        self._clock = clock
        self._sockets = httpcore2.SyncBackend()

    def connect_tcp(  # noqa: PLR0917  the signature is the base class's
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Try the host's checked addresses in turn."""
        failure: Exception | None = None
        for address in self._addresses(host, port):
            try:
                stream = self._sockets.connect_tcp(
                    address,
                    port,
                    timeout=seconds_left(timeout, self._deadline, self._clock),
                    local_address=local_address,
                    socket_options=socket_options,
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
            else:
                return TimedStream(stream, deadline=self._deadline, clock=self._clock)
        raise failure or httpcore2.ConnectError("no address to connect to")


class TimedStream(httpcore2.NetworkStream):
    """A connection on which one deadline bounds every read and write."""

    def __init__(
        self, stream: httpcore2.NetworkStream, *, deadline: float, clock: Callable[[], float]
    ) -> None:
        self._stream = stream
        self._deadline = deadline
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read some bytes before the deadline."""
        return self._stream.read(max_bytes, seconds_left(timeout, self._deadline, self._clock))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write bytes before the deadline."""
        self._stream.write(buffer, seconds_left(timeout, self._deadline, self._clock))

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        """Encrypt the connection; the deadline stays."""
        stream = self._stream.start_tls(
            ssl_context, server_hostname, seconds_left(timeout, self._deadline, self._clock)
        )
        return TimedStream(stream, deadline=self._deadline, clock=self._clock)

    def get_extra_info(self, info: str) -> Any:
        """Return what the connection knows about itself."""
        return self._stream.get_extra_info(info)


def seconds_left(timeout: float | None, deadline: float, clock: Callable[[], float]) -> float:
    """Return the smaller of a timeout and the time left; raises ReadTimeout when none is."""
    left = deadline - clock()
    if left <= 0:
        raise httpcore2.ReadTimeout("the total time for the download is used up")
    return left if timeout is None else min(timeout, left)
