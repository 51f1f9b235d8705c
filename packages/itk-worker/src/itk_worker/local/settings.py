"""Makes the environment in which a local worker believes it runs on Runpod."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

# The user's own account has no business in a local worker.
_NOT_PASSED_ON = ("RUNPOD_", "BUCKET_", "S3_", "AWS_")
_PASSED_ON = ("RUNPOD_LOG_LEVEL",)


@frozen(kw_only=True)
class LocalAddress:
    """Where the endpoint listens and what its workers show to be let in."""

    url: str  # http://127.0.0.1:PORT/v2/local
    files_url: str  # http://127.0.0.1:PORT/files/
    token: str
    volume: Path
    home: Path  # an empty folder: ~/.runpod/config.toml would win over the token
    ping_ms: int = 5000


def worker_environment(
    address: LocalAddress, worker_id: str, env: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Every variable of one worker process; `env` is what it inherits from."""
    env = os.environ if env is None else env
    kept = {
        name: value
        for name, value in env.items()
        if name in _PASSED_ON or not name.startswith(_NOT_PASSED_ON)
    }
    caches = Path(kept.get("HOME") or Path.home()) / ".cache"
    kept.setdefault("XDG_CACHE_HOME", str(caches))
    unproxied = [part for part in (kept.get("NO_PROXY"), "127.0.0.1", "localhost") if part]
    query = "gpu=LOCAL"  # the SDK appends with "&", so a query must be there
    return kept | {
        "HOME": str(address.home),
        "NO_PROXY": ",".join(unproxied),
        "no_proxy": ",".join(unproxied),
        "PYTHONUNBUFFERED": "1",
        "RUNPOD_AI_API_KEY": address.token,
        "RUNPOD_POD_ID": worker_id,
        "RUNPOD_WEBHOOK_GET_JOB": f"{address.url}/job-take/$ID?{query}",
        "RUNPOD_WEBHOOK_POST_OUTPUT": f"{address.url}/job-done/$RUNPOD_POD_ID/$ID?{query}",
        "RUNPOD_WEBHOOK_POST_STREAM": f"{address.url}/job-stream/$RUNPOD_POD_ID/$ID?{query}",
        "RUNPOD_WEBHOOK_PING": f"{address.url}/ping/$RUNPOD_POD_ID?{query}",
        "RUNPOD_PING_INTERVAL": str(address.ping_ms),
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        "RUNPOD_SKIP_GPU_CHECK": "true",
        "ITK_VOLUME_DIR": str(address.volume),
        "ITK_VOLUME_URL": address.files_url,
        "ITK_PARENT_PID": str(os.getpid()),
    }
