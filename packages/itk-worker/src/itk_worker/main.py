"""Composes the worker: settings, engine, warm-up, loop."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from itk_media import Fetcher

from .desk import Desk, sweep_folders
from .handler import Bench
from .logs import Log
from .pace import Pace
from .real_engine import Loaded, load_engine
from .redaction import Redactor
from .runpod_loop import Loop, UnusableArgumentsError, expand_test_input, import_runpod
from .settings import Settings, SettingsError
from .warm_up import Boot, Loading, checks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(arguments: Sequence[str], *, load: Callable[[Settings, Log], Loaded] = load_engine) -> int:
    """Run a worker as the environment and the command line say; the exit status.

    `load` is where tests put another engine.
    """
    try:
        settings = Settings.from_environment()
        arguments = expand_test_input(arguments)
    except (SettingsError, UnusableArgumentsError) as error:
        Log().write("not_started", level="ERROR", details={"message": str(error)})
        return 2
    return run_worker(settings, arguments=arguments, load=load)


def run_worker(
    settings: Settings,
    *,
    arguments: Sequence[str],
    load: Callable[[Settings, Log], Loaded],
) -> int:
    """The whole life of a worker, from loading beside imports to the last job."""
    boot = Boot()
    log = Log(level=settings.log_level, redactor=Redactor(settings.secrets))
    _end_with_parent(settings.parent_pid)
    sweep_folders(settings.temp_dir)

    loading = Loading(lambda: load(settings, log))
    runpod = import_runpod(settings)  # takes seconds, beside the loading
    log.take_over_logging()
    if loading.error is None:
        cold_start_ms = boot.ready(load_ms=loading.load_ms)
        log.write("loaded", details=_about(loading.result()), lat_ms=round(cold_start_ms))

    fetcher = Fetcher(roots=settings.roots, allow_private=settings.allow_private_urls)
    pace = Pace()

    def bench() -> Bench:
        loaded = loading.result()
        return Bench(
            settings=settings,
            engine=loaded.engine,
            fetch=fetcher.fetch,
            pace=pace,
            synthesiser=loaded.synthesiser,
            offers=loaded.offers,
            warnings=loaded.warnings,
        )

    desk = Desk(
        bench,
        log=log,
        boot=boot,
        output_limit_bytes=settings.output_limit_bytes,
        temp_dir=settings.temp_dir,
    )
    try:
        loop = Loop(desk, log=log, settings=settings)
        ready = checks(settings, loading, log)
        return loop.run(runpod, arguments=arguments, checks=ready)
    finally:
        desk.close()


def _about(loaded: Loaded) -> dict[str, object]:
    model, offers = loaded.engine.model_info, loaded.offers
    return {
        "model": model.name,
        "weights": model.weights,
        "precision": model.precision,
        "gpu": loaded.engine.gpu.type,
        "adapter": offers.adapter,
        "loras": offers.loras,
    }


def _end_with_parent(parent_pid: int | None) -> None:
    """End this process and its heartbeat when the local endpoint is gone, however it went."""
    if parent_pid is None:
        return

    def watch() -> None:
        while os.getppid() == parent_pid:
            time.sleep(0.5)
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def run() -> None:
    """The command `python -m itk_worker`."""
    sys.exit(main(sys.argv[1:]))
