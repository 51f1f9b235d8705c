"""Rules about the whole repository that no linter knows."""

import importlib
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*ROOT.glob("packages/*/src/**/*.py"), *ROOT.glob("apps/*/src/**/*.py")])
MEMBERS = sorted([*ROOT.glob("packages/*/pyproject.toml"), *ROOT.glob("apps/*/pyproject.toml")])
FRONT_DOORS = [
    *("itk_schema", "itk_media", "itk_engine", "itk_tiny"),
    *("itk_worker", "itk_client", "itk_gradio"),
]
VAGUE_NAMES = {"utils", "util", "common", "helpers", "manager", "misc", "data", "info", "process"}


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    """Every source module has at most 400 lines."""
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}


def test_every_module_says_what_it_is_for() -> None:
    """No module has a name that says nothing."""
    assert [path for path in SOURCES if path.stem.strip("_") in VAGUE_NAMES] == []


@pytest.mark.parametrize("package", FRONT_DOORS)
def test_the_front_door_is_a_real_list(package: str) -> None:
    """Every name in a package's `__all__` exists, once (ruff keeps them in order)."""
    module = importlib.import_module(package)
    names = list(getattr(module, "__all__", []))
    assert len(names) == len(set(names))
    assert [name for name in names if not hasattr(module, name)] == []


@pytest.mark.parametrize("project", MEMBERS, ids=lambda path: path.parent.name)
def test_every_member_is_complete(project: Path) -> None:
    """Each member has its version, README, changelog, tests and type marker."""
    home = project.parent
    facts = tomllib.loads(project.read_text())["project"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", facts["version"])
    assert (home / "README.md").read_text().startswith(f"# {facts['name']}\n")
    assert len((home / "README.md").read_text().splitlines()) <= 80
    assert (home / "CHANGELOG.md").exists()
    assert list(home.glob("src/*/py.typed"))
    assert list(home.glob("tests/**/test_*.py"))


def test_the_layers_point_one_way() -> None:
    """Every import contract holds."""
    checked = subprocess.run(["lint-imports"], cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_the_code_is_linted_and_formatted() -> None:
    """Ruff finds nothing to say."""
    for command in (["ruff", "check", "--quiet"], ["ruff", "format", "--check", "--quiet"]):
        checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout


def test_the_types_hold() -> None:
    """The type checker finds no error in any source."""
    checked = subprocess.run(
        ["pyrefly", "check", "--output-format", "json"], cwd=ROOT, capture_output=True, text=True
    )
    errors = json.loads(checked.stdout)["errors"]
    assert [f"{error['path']}:{error['line']}: {error['description']}" for error in errors] == []


def test_internal_links_lead_somewhere() -> None:
    """Every relative link in a Markdown page points at a file that exists."""
    pages = [path for path in ROOT.glob("**/*.md") if not {".venv", ".uv"} & set(path.parts)]
    broken = [
        f"{page.relative_to(ROOT)} -> {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []
