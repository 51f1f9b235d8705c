"""The images are described by files that hold together."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCKERFILES = sorted(ROOT.glob("docker/*.Dockerfile"))


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_the_dockerfile_is_sound(dockerfile: Path) -> None:
    """Hadolint finds nothing to warn of (versions of Debian packages are the base image's)."""
    command = ["hadolint", "--failure-threshold", "warning", "--ignore", "DL3008", dockerfile]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_everything_that_an_image_copies_exists(dockerfile: Path) -> None:
    """Each COPY names files of the repository, and every member's metadata is among them."""
    copies = [line.split()[1:-1] for line in dockerfile.read_text().splitlines() if "COPY" in line]
    sources = [source for copy in copies for source in copy if not source.startswith("--")]
    assert [source for source in sources if not (ROOT / source).exists()] == []
    members = [*ROOT.glob("packages/*/pyproject.toml"), *ROOT.glob("apps/*/pyproject.toml")]
    assert {str(member.relative_to(ROOT)) for member in members} <= set(sources)


def test_the_worker_installs_the_fastest_attention_with_its_hash() -> None:
    """The image asks for flash-attn-4 in each of its steps; a plain installation has none."""
    steps = re.findall(r"uv sync(?:.*\\\n)*.*", (ROOT / "docker/worker.Dockerfile").read_text())
    assert len(steps) == 2
    assert all("--frozen" in step and "--extra flash" in step for step in steps)
    locked = {
        package["name"]: package
        for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    }
    assert all(wheel["hash"] for wheel in locked["flash-attn-4"]["wheels"])
    engine, worker = locked["itk-engine"], locked["itk-worker"]
    plain = {one["name"] for one in (*engine["dependencies"], *worker["dependencies"])}
    assert "flash-attn-4" not in plain
    assert [one["name"] for one in engine["optional-dependencies"]["flash"]] == ["flash-attn-4"]
    extras = {one["name"]: one.get("extra") for one in worker["optional-dependencies"]["flash"]}
    assert extras["itk-engine"] == ["flash"]
