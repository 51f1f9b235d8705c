"""Takes one job at a time and runs it on the one thread that may use the GPU."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve

from itk_schema import (
    BatchOutput,
    ErrorCode,
    ErrorInfo,
    JobFailure,
    JobSuccess,
    dump,
    failure_output,
    to_json,
)

from .batch import Call, run_call
from .cancel import StopSwitch
from .progress import ProgressPump
from .report import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from itk_schema import Progress

    from .batch import Output
    from .handler import Bench
    from .logs import Log
    from .progress import Post
    from .warm_up import Boot

FOLDER_PREFIX = "itk-job-"


class Desk:
    """The async side of a worker: turns, cancellation, shutdown, what leaves.

    `bench` gives what jobs need, or raises why there is none; it is asked on the GPU's thread.
    """

    def __init__(
        self,
        bench: Callable[[], Bench],
        *,
        log: Log,
        boot: Boot,
        output_limit_bytes: int,
        temp_dir: Path | None = None,
    ) -> None:
        self._bench = bench
        self._log = log
        self._boot = boot
        self._output_limit_bytes = output_limit_bytes
        self._temp_dir = temp_dir
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gpu")
        self._turn = asyncio.Lock()
        self._switch: StopSwitch | None = None
        self._draining = False

    async def serve(self, job: Mapping[str, Any], *, post: Post | None) -> dict[str, Any]:
        """The result of a job in the form that Runpod takes; progress goes to `post`.

        When the surrounding task is cancelled, the job's thread is stopped at its next step and
        waited for, so that the GPU is free when the next job comes.
        """
        async with self._turn:
            switch = self._switch = StopSwitch()
            if self._draining:
                switch.stop("interrupted")
            pump = None if post is None else self._pump(post)
            work = asyncio.get_running_loop().run_in_executor(
                self._thread, self._run, job, switch, pump
            )
            try:
                output = await asyncio.shield(work)
                if pump is not None:
                    await pump.close()
            except asyncio.CancelledError:
                switch.stop("cancelled")
                if pump is not None:
                    pump.abandon()
                await _until_done(work)
                raise
            finally:
                self._switch = None
        return self.deliverable(output)

    def interrupt(self) -> None:
        """The worker is to shut down: end the running job at its next step, refuse others."""
        self._draining = True
        if self._switch is not None:
            self._switch.stop("interrupted")

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=True)

    def deliverable(self, output: Output) -> dict[str, Any]:
        """What may leave: strict JSON, small enough, an error always as one text."""
        if isinstance(output, JobFailure):
            return self._refresh(failure_output(output), output)
        try:
            size = len(to_json(output).encode())
            if size > self._output_limit_bytes:
                output = _without_logs(output)
                size = len(to_json(output).encode())
        except ValueError as error:
            return self._undeliverable(output, f"the result is not JSON: {error}", "not_json")
        if size > self._output_limit_bytes:
            words = f"the result has {size} bytes, at most {self._output_limit_bytes} can leave"
            return self._undeliverable(output, words, "too_large")
        return dump(output)

    def _pump(self, post: Post) -> ProgressPump:
        def on_trouble(error: BaseException) -> None:
            self._log.write("progress_lost", level="WARN", details={"cause": repr(error)})

        return ProgressPump(post, on_trouble=on_trouble)

    def _run(self, job: Mapping[str, Any], switch: StopSwitch, pump: ProgressPump | None) -> Output:
        job_id = str(job.get("id", ""))
        log = self._log.for_job(job_id)
        cold_start_ms, load_ms = self._boot.first_job()
        report = Reporter(job_id=job_id, log=log, put=_nowhere if pump is None else pump.put)
        folder = job_folder(self._temp_dir)
        try:
            call = Call(
                job_id=job_id,
                input=job.get("input"),
                folder=folder,
                report=report,
                switch=switch,
                cold_start_ms=cold_start_ms,
                load_ms=load_ms,
            )
            return run_call(call, self._bench)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _undeliverable(self, output: Output, words: str, reason: str) -> dict[str, Any]:
        code = ErrorCode.E_UPLOAD if reason == "too_large" else ErrorCode.E_GENERATION_RUNTIME
        error = ErrorInfo(
            code=code, message=words, reason=reason, retryable=False, at_stage="upload"
        )
        details = {"code": code.value, "message": words, "reason": reason}
        self._log.write("error", level="ERROR", job_id=output.job_id, details=details)
        return dict(failure_output(JobFailure(job_id=output.job_id, error=error)))

    def _refresh(self, answer: dict[str, str], output: JobFailure) -> dict[str, Any]:
        """After a broken device only a new process helps; the SDK takes this key away."""
        if output.error.reason != "device_error":
            return dict(answer)
        return {**answer, "refresh_worker": True}


def _nowhere(_progress: Progress, _kind: str) -> None:
    """Where progress goes without a platform: the log has it."""


def job_folder(parent: Path | None) -> Path:
    """A new folder whose name says which process it belongs to."""
    return Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{os.getpid()}-", dir=parent))


def sweep_folders(parent: Path | None) -> int:
    """Remove what workers that were killed left behind; returns how many folders that were."""
    swept = 0
    for folder in Path(parent or tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*-*"):
        owner = folder.name.removeprefix(FOLDER_PREFIX).partition("-")[0]
        if owner.isdecimal() and (int(owner) == os.getpid() or not _lives(int(owner))):
            shutil.rmtree(folder, ignore_errors=True)
            swept += 1
    return swept


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _without_logs(output: JobSuccess | BatchOutput) -> JobSuccess | BatchOutput:
    if isinstance(output, JobSuccess):
        return evolve(output, logs=())
    items = tuple(
        evolve(item, logs=()) if isinstance(item, JobSuccess) else item for item in output.items
    )
    return evolve(output, items=items)


async def _until_done(work: asyncio.Future[Any]) -> None:
    """Wait for the thread even when told again to give up."""
    while not work.done():
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError:
            continue
