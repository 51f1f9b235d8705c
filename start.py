#!/usr/bin/env python3
"""Starts anything in this project on a machine that has only Python 3.11 or later.

python3 start.py                     set everything up and make a talking video
python3 start.py --image me.png --audio me.wav --prompt "..."    the same with your own files
python3 start.py test [long|gpu]     pass all tests (or one of the other suites)
python3 start.py setup               only set up
python3 start.py run COMMAND ...     run a command in the project's environment
python3 start.py VERB ...            any verb of the justfile (check, fix, wheels, ...)
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PRIVATE_UV = ROOT / ".uv"
BIN = ROOT / ".venv" / ("Scripts" if os.name == "nt" else "bin")
NEEDED_PYTHON = (3, 11)
NEEDED_UV = (0, 13)
NEEDED_DISK_BYTES = 10 * 1024**3


def main(arguments):
    """Do what the first argument says; without one, make the demo video."""
    verb = arguments[0] if arguments else "demo"
    if verb in ("-h", "--help", "help"):
        print(__doc__.strip())
        return 0
    if verb.startswith("-"):
        verb, rest = "demo", arguments
    else:
        rest = arguments[1:]
    check_python()
    started = time.monotonic()
    uv = set_up(with_development_tools=verb not in ("demo", "setup"))
    print(f"Set-up took {time.monotonic() - started:.1f} s.", flush=True)
    environment = {**os.environ, "UV": str(uv), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    if verb == "test":
        # Several tests run at once: threads of each would only wait for those of the others.
        environment.setdefault("OMP_NUM_THREADS", "1")
    return run(command_for(verb, rest), environment)


def command_for(verb, rest):
    """Return the command line of a verb, all in the project's own environment."""
    python = str(BIN / "python")
    if verb == "setup":
        return [python, "-c", "print('Ready.')"]
    if verb == "demo":
        return [python, "-m", "itk_client.cli", "demo", *rest]
    if verb == "run":
        return rest or fail("run needs a command, such as: python3 start.py run itk --help")
    if verb == "test":
        return test_command(python, rest)
    return [str(BIN / "just"), "--justfile", str(ROOT / "justfile"), verb, *rest]


def test_command(python, rest):
    """Return the pytest command of the default suite, or of the suite that is named first."""
    suites = {
        "default": ["-n", "2", "--dist", "loadfile", "-m", "not long and not gpu and not live"],
        "long": ["-m", "long and not gpu and not live"],
        "gpu": ["-m", "gpu"],
    }
    suite, more = (rest[0], rest[1:]) if rest and rest[0] in suites else ("default", rest)
    return [python, "-m", "pytest", *suites[suite], *more]


def check_python():
    """Stop with advice where this Python is too old for the project."""
    if sys.version_info < NEEDED_PYTHON:
        found = ".".join(map(str, sys.version_info[:3]))
        fail(f"Python 3.11 or later is needed; this is {found} ({sys.executable}).")


def set_up(with_development_tools):
    """Install what the lock file says into .venv and return the uv that did it."""
    if not (ROOT / ".venv").exists():
        check_disk()
        print("Setting up (about 6 GB, once) ...", flush=True)
    uv = find_uv() or install_uv()
    sync = [uv, "sync", "--frozen", "--quiet", "--python", sys.executable]
    # The demo leaves installed tools alone, so that a developer can run it between two tests.
    sync += [] if with_development_tools else ["--no-dev", "--inexact"]
    environment = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(ROOT / ".venv")}
    environment.pop("VIRTUAL_ENV", None)
    if run(sync, environment):
        fail("The packages could not be installed; uv's message above says why.")
    return uv


def check_disk():
    """Refuse to begin an installation that the disk cannot hold."""
    free = shutil.disk_usage(ROOT).free
    if free < NEEDED_DISK_BYTES:
        needed = NEEDED_DISK_BYTES / 1024**3
        fail(f"{needed:.0f} GB of free disk are needed in {ROOT}; there are {free / 1024**3:.1f}.")


def find_uv():
    """Return a uv that is new enough, from the private folder or the PATH, or None."""
    for candidate in (PRIVATE_UV / "bin" / "uv", shutil.which("uv")):
        if candidate and Path(candidate).exists() and uv_version(candidate) >= NEEDED_UV:
            return str(candidate)
    return None


def uv_version(uv):
    """Return (major, minor) of a uv executable, (0, 0) where it does not answer."""
    try:
        answer = subprocess.run([uv, "--version"], capture_output=True, text=True, check=True)
        return tuple(int(part) for part in answer.stdout.split()[1].split(".")[:2])
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError):
        return (0, 0)


def install_uv():
    """Put uv into the private folder: system Pythons refuse to install into themselves."""
    minimum = ".".join(map(str, NEEDED_UV))
    install = ["install", "--quiet", "--disable-pip-version-check", "--target", str(PRIVATE_UV)]
    for pip in ([sys.executable, "-m", "pip"], pip_of_a_fresh_environment()):
        if pip and not run([*pip, *install, "--upgrade", f"uv>={minimum}"], os.environ, quiet=True):
            return find_uv() or fail(f"uv was installed in {PRIVATE_UV} but does not run.")
    return fail(
        "uv could not be installed: this Python has no working pip or venv, or the package index "
        "is out of reach. Install uv by hand (on Debian: apt-get install python3-venv) and try "
        "again."
    )


def pip_of_a_fresh_environment():
    """Return the pip of a small environment of our own, for a Python that comes without pip."""
    environment = PRIVATE_UV / "pip"
    if run([sys.executable, "-m", "venv", str(environment)], os.environ, quiet=True):
        return None
    return [str(environment / "bin" / "python"), "-m", "pip"]


def run(command, environment, *, quiet=False):
    """Run a command to its end and return its exit status."""
    silence = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} if quiet else {}
    try:
        return subprocess.call([str(part) for part in command], env=environment, **silence)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        fail(f"{command[0]} does not start: {error}")


def fail(message):
    """Say what is wrong and stop."""
    sys.exit(f"start.py: {message}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
