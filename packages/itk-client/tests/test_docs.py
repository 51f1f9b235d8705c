"""The documentation is true: its code runs, and its help is the program's own."""

import re
from pathlib import Path

import pytest

from itk_client.cli import main
from itk_client.cli.main import NAMES
from itk_client.testing import FakeEndpoint, served

ROOT = Path(__file__).parents[3]
PAGES = [
    ROOT / "README.md",
    ROOT / "docs" / "client.md",
    ROOT / "packages" / "itk-client" / "README.md",
]
CLI_PAGE = ROOT / "docs" / "cli.md"


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch, capsys):
    """The Python blocks of a page run one after the other against an endpoint."""
    monkeypatch.chdir(tmp_path)
    Path("portrait.png").write_bytes(b"png")
    Path("speech.wav").write_bytes(b"wav")
    endpoint = FakeEndpoint()
    endpoint.takes_uploads = True
    endpoint.script = endpoint.script[-2:]
    blocks = re.findall(
        r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert blocks
    scope = {"__name__": "page"}
    with served(endpoint) as base_url:
        monkeypatch.setenv("ITK_BASE_URL", base_url)
        for block in blocks:
            exec(compile(block, str(page), "exec"), scope)  # noqa: S102  our own page
        if "client" in scope:
            scope["client"].close()
    assert list(Path().rglob("*.mp4"))
    assert capsys.readouterr().out


@pytest.mark.parametrize("name", ["", *NAMES])
def test_the_help_in_the_page_is_the_programs(name, capsys, monkeypatch):
    """docs/cli.md holds the help of every command, word for word."""
    assert _written(name) == _printed(name, capsys, monkeypatch)


def _written(name):
    title = f"itk {name}".strip()
    page = CLI_PAGE.read_text(encoding="utf-8")
    found = re.search(rf"(?ms)^## `{title}`\n\n```text\n(.*?)\n```", page)
    assert found, f"docs/cli.md has no section {title}: run this file as a program"
    return found[1]


def _printed(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert main([*([name] if name else []), "--help"]) == 0
    return _tidy(capsys.readouterr().out)


def _tidy(page):
    return "\n".join(line.rstrip() for line in page.strip().splitlines())


if __name__ == "__main__":
    import contextlib
    import io
    import os
    import sys

    os.environ["COLUMNS"] = "100"
    head = CLI_PAGE.read_text(encoding="utf-8").partition("\n## `itk`")[0].rstrip()
    parts = [head]
    for one in ("", *NAMES):
        heard = io.StringIO()
        with contextlib.redirect_stdout(heard):
            main([*([one] if one else []), "--help"])
        parts.append(f"## `{f'itk {one}'.strip()}`\n\n```text\n{_tidy(heard.getvalue())}\n```")
    CLI_PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    sys.stdout.write(f"{CLI_PAGE} written\n")
