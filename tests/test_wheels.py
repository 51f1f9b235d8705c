"""The packages work outside this repository, from their wheels alone."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UV = os.environ.get("UV", "uv")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one wheel of every member."""
    folder = tmp_path_factory.mktemp("wheels")
    uv("build", "--all-packages", "--no-sources", "--wheel", "--out-dir", folder)
    return folder


def test_the_client_alone_holds_nothing_heavy(wheels: Path, tmp_path: Path) -> None:
    """The client's environment has no torch, numpy, runpod or boto3, and its command runs."""
    python = environment_with(wheels, tmp_path, "itk-client")
    installed = uv("pip", "list", "--python", python, "--format", "freeze").lower()
    names = {line.partition("==")[0] for line in installed.splitlines()}
    assert "itk-client" in names
    assert names & {"torch", "numpy", "runpod", "boto3", "itk-media", "itk-engine"} == set()
    assert "generate" in run(python.parent / "itk", "--help")
    run(python, "-I", "-c", "import itk_client, itk_schema")


@pytest.mark.long
def test_all_wheels_install_together_in_a_clean_environment(wheels: Path, tmp_path: Path) -> None:
    """Every wheel installs beside the others, agrees with them, and imports."""
    members = [path.parent.name for path in ROOT.glob("packages/*/pyproject.toml")]
    python = environment_with(wheels, tmp_path, *members, "itk-gradio")
    assert disagreements(python) <= {("gradio", "tomlkit")}  # overridden in the workspace too
    for member in members:
        run(python, "-I", "-c", f"import {member.replace('-', '_')}")
    assert "demo" in run(python.parent / "itk", "--help")
    found = "print([path.name for path in __import__('itk_tiny').checkpoint_folder().iterdir()])"
    assert "InfiniteTalk" in run(python, "-I", "-c", found)


def disagreements(python: Path) -> set[tuple[str, str]]:
    """Return who does not get the version it asks for, and of which package."""
    command = [UV, "pip", "check", "--python", str(python)]
    said = subprocess.run(command, capture_output=True, text=True)
    found = set(re.findall(r"package `([^`]+)` requires `([A-Za-z0-9_.-]+?)[<>=~!]", said.stderr))
    assert said.returncode == 0 or found, said.stderr
    return found


def environment_with(wheels: Path, folder: Path, *members: str) -> Path:
    """Install members into a new environment, with the versions that the lock file names."""
    python = folder / "venv" / "bin" / "python"
    uv("venv", "--quiet", folder / "venv")
    constraints = folder / "constraints.txt"
    constraints.write_text(
        uv("export", "--frozen", "--all-packages", "--no-emit-workspace", "--no-hashes")
    )
    overrides = folder / "overrides.txt"
    overrides.write_text("tomlkit>=0.15.1\n")
    uv(
        *("pip", "install", "--python", python, "--find-links", wheels),
        *("--constraints", constraints, "--overrides", overrides, *members),
    )
    return python


def uv(*arguments: object) -> str:
    """Run uv in the repository and return what it prints."""
    return run(UV, *arguments)


def run(*command: object) -> str:
    """Run a command that must succeed and return what it prints."""
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
