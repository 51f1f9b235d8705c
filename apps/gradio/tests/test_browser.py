"""The page in a real browser."""

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
import wave
import zlib

import httpx2
import pytest

from itk_client.testing import FakeEndpoint, progress_look, served

pytestmark = pytest.mark.long
PROMPT = "<img src=x onerror=alert(1)>"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def need_browser():
    """Playwright with a browser, or a reason to skip; no reason where one was promised."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    if CHROMIUM and sync_playwright:
        return sync_playwright
    missing = "chromium" if not CHROMIUM else "playwright"
    if os.environ.get("ITK_EXPECT_BROWSER") == "1":
        pytest.fail(f"a browser was promised and {missing} is missing")
    pytest.skip(f"needs {missing}")


def png(path):
    """A grey picture of 64 by 64."""

    def part(name, content):
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    rows = (b"\0" + b"\x80" * 64) * 64
    header = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
    body = part(b"IHDR", header) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return str(path)


def wav(path):
    """A second of silence."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(b"\0\0" * 16000)
    return str(path)


@contextlib.contextmanager
def page_of(base_url, log):
    """The page as a person starts it, pointed at an endpoint; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {"ITK_BASE_URL": base_url, "ITK_PAGE_PORT": str(port)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "itk_gradio"], env=env, stdout=output, stderr=output
        )
    url = f"http://127.0.0.1:{port}/"
    try:
        end = time.monotonic() + 120
        while not answers(url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def answers(url):
    """Whether a page is served there."""
    try:
        return httpx2.get(url, timeout=5, trust_env=False).is_success
    except httpx2.HTTPError:
        return False


def make_video(view, tmp_path):
    """Fill the form in and press the button; gives the stages that were shown."""
    view.set_input_files("#portrait input[type=file]", png(tmp_path / "face.png"))
    view.set_input_files("#speech input[type=file]", wav(tmp_path / "s.wav"))
    view.fill("#prompt textarea", PROMPT)
    view.wait_for_selector("#portrait img", timeout=30_000)
    view.wait_for_selector("#speech audio", state="attached", timeout=30_000)
    view.click("#submit")
    stage = view.locator("#stage textarea, #stage input").first
    said = set()
    end = time.monotonic() + 60
    while "done" not in said and time.monotonic() < end:
        said.add(stage.input_value())
        view.wait_for_timeout(100)
    return said


def test_a_person_makes_a_video(tmp_path):
    """Upload, describe, press: progress appears, then the result, with one job and no error."""
    sync_playwright = need_browser()
    endpoint = FakeEndpoint()
    endpoint.takes_uploads = True
    endpoint.script.insert(3, progress_look("chunk_0_sampling_25", pct=30, seq=2))
    errors = []
    with (
        served(endpoint) as base_url,
        page_of(base_url, tmp_path / "page.log") as url,
        sync_playwright() as play,
    ):
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        view = browser.new_page()
        view.on("pageerror", lambda error: errors.append(str(error)))
        view.goto(url)
        said = make_video(view, tmp_path)
        assert "done" in said
        assert any("drawing chunk 1" in one for one in said)
        view.wait_for_selector("#files a", timeout=20_000)
        assert view.locator("img[onerror]").count() == 0
        browser.close()
    assert errors == []
    (job,) = endpoint.jobs.values()
    assert job.input["prompt"] == PROMPT
