"""Serves the volume over HTTP, and takes files that are too large for a request."""

from __future__ import annotations

import hashlib
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from .bodies import answer, refusal

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.routing import BaseRoute

INCOMING = "incoming"
UPLOAD_LIMIT_BYTES = 256 * 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")


@frozen(kw_only=True)
class Files:
    """The volume as clients see it: finished files to read, a folder to bring files to."""

    volume: Path
    base_url: str  # ends with /files/
    limit_bytes: int = UPLOAD_LIMIT_BYTES

    def routes(self) -> list[BaseRoute]:
        """Routes below /files."""
        return [
            Route(f"/files/{INCOMING}/{{name}}", self.upload, methods=["PUT", "POST"]),
            Mount("/files", app=_ReadOnly(directory=self.volume, follow_symlink=False)),
        ]

    async def upload(self, request: Request) -> Response:
        """Keep the body as a file of the volume; answer the path that a job may name."""
        name = request.path_params["name"]
        if not _NAME.fullmatch(name):
            return refusal("the name may hold letters, digits, '.', '_' and '-' only", 400)
        folder = self.volume / INCOMING
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{secrets.token_hex(8)}.part"
        try:
            size, sha256 = await self._receive(request, part)
            if size > self.limit_bytes:
                return refusal(f"the file is larger than {self.limit_bytes} bytes", 413)
            part.replace(folder / name)
        except ClientDisconnect:
            return refusal("the file ended early", 400)
        finally:
            part.unlink(missing_ok=True)
        return answer(
            {
                "path": str(folder / name),
                "url": f"{self.base_url}{INCOMING}/{name}",
                "bytes": size,
                "sha256": sha256,
            },
            status=201,
        )

    async def _receive(self, request: Request, part: Path) -> tuple[int, str]:
        size, digest = 0, hashlib.sha256()
        with part.open("xb") as file:
            async for piece in request.stream():
                size += len(piece)
                if size > self.limit_bytes:
                    break
                digest.update(piece)
                await run_in_threadpool(file.write, piece)
        return size, digest.hexdigest()


class _ReadOnly(StaticFiles):
    """Files with ranges; no listings, no links out, nothing that a browser would run."""

    async def get_response(self, path: str, scope: dict[str, object]) -> Response:  # type: ignore[override]
        response = await super().get_response(path, scope)  # type: ignore[arg-type]
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Content-Security-Policy"] = "sandbox"
        response.headers["Cache-Control"] = "no-cache"
        return response
