"""Tells a caller's webhook that a job ended, the way Runpod does."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
from attrs import frozen

from .bodies import dump_json


@frozen(kw_only=True)
class Webhooks:
    """POSTs a job's status: up to three tries, ten seconds apart, until one answers 200."""

    tries: int = 3
    pause_seconds: float = 10.0
    timeout_seconds: float = 10.0

    async def tell(self, url: str, view: dict[str, Any]) -> bool:
        """Whether the webhook took it."""
        body = dump_json(view)
        async with httpx2.AsyncClient(timeout=self.timeout_seconds, trust_env=False) as client:
            for attempt in range(self.tries):
                if attempt:
                    await asyncio.sleep(self.pause_seconds)
                if await self._post(client, url, body):
                    return True
        return False

    async def _post(self, client: httpx2.AsyncClient, url: str, body: bytes) -> bool:
        headers = {"Content-Type": "application/json"}
        try:
            reply = await client.post(url, content=body, headers=headers)
        except (httpx2.HTTPError, httpx2.InvalidURL):
            return False
        return reply.status_code == 200
