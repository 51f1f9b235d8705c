"""The images are described by files that hold together."""

import subprocess
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
