"""An endpoint in memory, for tests of this package and of programs that use it."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

import httpx2
from attrs import define, field

from itk_schema import parse_json, to_json

from .pacing import Clock

BASE_URL = "https://fake.test/v2"
FILES_URL = "https://files.fake.test/"
API_KEY = "rpa_TESTKEYTESTKEYTESTKEY"

Answer = Callable[[httpx2.Request], httpx2.Response | Exception]


@define
class FakeTime:
    """A clock that moves only when someone sleeps on it."""

    seconds: float = 1000.0
    sleeps: list[float] = field(factory=list)

    def clock(self) -> Clock:
        """The clock to pass to a client."""
        return Clock(now=lambda: self.seconds, sleep=self._sleep, chance=lambda: 0.5)

    def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.seconds += seconds


@define
class FakeJob:
    """A job of the fake endpoint and the looks that it still has to give."""

    id: str
    input: dict[str, Any]
    looks: list[dict[str, Any]]
    body: dict[str, Any] = field(factory=dict)
    cancelled: bool = False


class FakeEndpoint:
    """Answers like Runpod's API, from memory and from a script.

    Each look at a job takes the next entry of `script`; the last one stays. An entry is a status
    object without its id. `faults` are answered first, each once: a response, an exception to
    raise, or a function of the request. `transport` goes into an httpx2 client of either kind.
    """

    def __init__(
        self, script: Iterable[dict[str, Any]] | None = None, *, files_url: str = FILES_URL
    ) -> None:
        self.files_url = files_url
        self.files: dict[str, bytes] = {}
        self.script: list[dict[str, Any]] = (
            list(script) if script is not None else self.usual_script()
        )
        self.jobs: dict[str, FakeJob] = {}
        self.requests: list[httpx2.Request] = []
        self.faults: list[httpx2.Response | Exception | Answer] = []
        self.takes_uploads = False
        self._ids = (f"fake-{number}-u1" for number in count())
        self.transport = httpx2.MockTransport(self._answer)

    def usual_script(self) -> list[dict[str, Any]]:
        """Queued, started, two reports of progress, and a small video."""
        return [
            {"status": "IN_QUEUE"},
            {"status": "IN_PROGRESS", "workerId": "w1", "delayTime": 1200},
            progress_look("validation_ok", pct=2, seq=1),
            progress_look("chunk_0_sampling_50", pct=50, seq=2),
            self.completed(),
        ]

    def completed(self, video: bytes = b"not really a video", **more: Any) -> dict[str, Any]:
        """The last look at a job that made this video; `more` goes into its output."""
        self.files["video.mp4"] = video
        self.files["video.jpg"] = b"jpg"
        self.files["video.json"] = b"{}"
        output = {
            "job_id": "",
            "status": "success",
            "video": {
                "url": FILES_URL + "video.mp4?signature=secret",
                "mime": "video/mp4",
                "bytes": len(video),
                "thumbnail_url": FILES_URL + "video.jpg",
                "path": None,
                "key": "jobs/video.mp4",
                "sha256": hashlib.sha256(video).hexdigest(),
                "frames": 81,
                "fps": 25,
                "duration_seconds": 3.24,
            },
            "timings": {"total_ms": 1000},
            "params": {"size": "infinitetalk-480"},
            "metadata_url": FILES_URL + "video.json",
            "seed": 42,
            "model": {"name": "tiny"},
            **more,
        }
        return {
            "status": "COMPLETED",
            "delayTime": 1200,
            "executionTime": 3400,
            "output": output,
        }

    def urls(self) -> list[str]:
        """Method and path of every request so far."""
        return [f"{request.method} {request.url.path}" for request in self.requests]

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        if self.faults:
            fault = self.faults.pop(0)
            answer = fault(request) if callable(fault) else fault
            if isinstance(answer, Exception):
                raise answer
            if answer is not PASS:
                return answer
        if request.method == "PUT" and request.url.path.startswith("/files/incoming/"):
            return self._upload(request)
        if str(request.url).startswith(self.files_url):
            return self._file(request)
        return self._api(request)

    def _api(self, request: httpx2.Request) -> httpx2.Response:
        parts = request.url.path.removeprefix("/v2/").split("/")
        verb, name = parts[1], parts[2] if len(parts) > 2 else ""
        if verb == "health":
            return reply(200, {"jobs": {"inQueue": 0}, "workers": {"idle": 1, "ready": 1}})
        if verb == "run":
            return self._run(request)
        job = self.jobs.get(name)
        if job is None:
            return reply(404, {"error": "no such job"})
        if verb == "cancel":
            job.cancelled = True
            return reply(200, {"id": job.id, "status": "CANCELLED"})
        if verb == "retry":
            job.looks = list(self.script)
            return reply(200, {"id": job.id, "status": "IN_QUEUE"})
        return self._status(job)

    def _run(self, request: httpx2.Request) -> httpx2.Response:
        body = parse_json(request.content)
        job = FakeJob(id=next(self._ids), input=body["input"], looks=list(self.script), body=body)
        self.jobs[job.id] = job
        return reply(200, {"id": job.id, "status": "IN_QUEUE"})

    def _status(self, job: FakeJob) -> httpx2.Response:
        if job.cancelled:
            return reply(200, {"id": job.id, "status": "CANCELLED"})
        look = job.looks.pop(0) if len(job.looks) > 1 else job.looks[0]
        if isinstance(look.get("output"), dict) and look["output"].get("job_id") == "":
            look = {**look, "output": {**look["output"], "job_id": job.id}}
        found = to_json({**look, "id": job.id}).replace(FILES_URL, self.files_url)
        return httpx2.Response(200, text=found, headers={"Content-Type": "application/json"})

    def _file(self, request: httpx2.Request) -> httpx2.Response:
        content = self.files.get(request.url.path.rpartition("/")[2])
        if content is None:
            return httpx2.Response(404)
        asked = request.headers.get("range", "")
        if asked.startswith("bytes="):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            return httpx2.Response(206, content=content[start:], headers={"Content-Range": span})
        return httpx2.Response(200, content=content)

    def _upload(self, request: httpx2.Request) -> httpx2.Response:
        if not self.takes_uploads:
            return httpx2.Response(404)
        name = request.url.path.removeprefix("/files/")
        self.files[name] = request.read()
        return reply(200, {"path": f"/runpod-volume/{name}"})


class _Handler(BaseHTTPRequestHandler):
    """Passes requests of the network on to a fake endpoint."""

    endpoint: FakeEndpoint

    def answer(self) -> None:
        """Answer one request of any method."""
        body = self._body()
        host = self.headers.get("Host", "localhost")
        request = httpx2.Request(
            self.command,
            f"http://{host}{self.path}",
            headers=list(self.headers.items()),
            content=body,
        )
        try:
            found = self.endpoint.transport.handle_request(request)
        except httpx2.HTTPError:
            self.close_connection = True
            return
        content = found.read()
        self.send_response(found.status_code)
        for name, value in found.headers.items():
            if name.lower() not in {"content-length", "transfer-encoding"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = answer  # noqa: N815  the names that the base class looks for

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        """Say nothing."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body


@contextlib.contextmanager
def served(endpoint: FakeEndpoint) -> Iterator[str]:
    """Serve a fake endpoint over real HTTP on this machine; gives its base_url."""
    handler = type("Handler", (_Handler,), {"endpoint": endpoint})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    origin = f"http://127.0.0.1:{server.server_port}"
    endpoint.files_url = f"{origin}/files/"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"{origin}/v2"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


PASS = httpx2.Response(200)
"""As a fault: answer this request as usual."""


def reply(status: int, body: Any, **headers: str) -> httpx2.Response:
    """A JSON answer."""
    return httpx2.Response(
        status,
        content=to_json(body).encode(),
        headers={"Content-Type": "application/json", **headers},
    )


def progress_look(stage: str, *, pct: float, seq: int, worker: str = "w1") -> dict[str, Any]:
    """A look at a job that is at this stage."""
    return {
        "status": "IN_PROGRESS",
        "workerId": worker,
        "output": {"type": "progress", "stage": stage, "pct": pct, "job_id": "", "seq": seq},
    }
