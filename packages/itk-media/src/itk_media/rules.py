"""What a download may reach and how long it may take."""

import ssl
import time
from collections.abc import Callable

from attrs import field, frozen

from .addresses import Resolve, resolve


@frozen(kw_only=True)
class DownloadRules:
    """What a download may reach and how long it may take.

    ``ports`` lists what a public address may be asked on; with ``allow_private``, which is
    for tests and a local endpoint, every port of a loopback or private address is allowed too.
    The proxy settings of the environment are not used: a proxy would resolve names itself
    and so walk around the address check.
    """

    allow_private: bool = False
    ports: frozenset[int] = frozenset({80, 443})
    deadline_seconds: float = 300.0
    stall_seconds: float = 20.0
    grace_seconds: float = 10.0
    lowest_bytes_per_second: float = 10_000.0
    attempts: int = 3
    resolve: Resolve = resolve
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
