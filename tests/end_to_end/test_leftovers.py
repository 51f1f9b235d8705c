"""However the demo ends, nothing of it stays."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc to look for leftovers")
def test_a_killed_demo_takes_its_endpoint_along(tmp_path: Path) -> None:
    """A demo that is killed outright leaves neither an endpoint nor a worker behind."""
    volume = tmp_path / "volume"
    command = [sys.executable, "-m", "itk_client.cli", "demo", "--out", tmp_path]
    log = tmp_path / "worker.log"
    with (tmp_path / "said").open("wb") as said:
        demo = subprocess.Popen([*command, "--volume", volume], stderr=said)
    try:
        until(lambda: log.exists() and b'"ready"' in log.read_bytes(), seconds=120)
        assert len(processes_about(volume)) >= 2
    finally:
        demo.send_signal(signal.SIGKILL)
        demo.wait()
    until(lambda: not processes_about(volume), seconds=30)


def until(condition, *, seconds: float) -> None:
    """Wait for a condition, and fail where it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def processes_about(volume: Path) -> list[int]:
    """Return the processes that name a volume in their command line or environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            said = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if int(entry.name) != os.getpid() and str(volume).encode() in said:
            found.append(int(entry.name))
    return found
