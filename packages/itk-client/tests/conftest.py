"""What the client's tests share: an endpoint in memory, and clients of it."""

from __future__ import annotations

import httpx2
import pytest

from itk_client import AsyncClient, Client
from itk_client.testing import API_KEY, BASE_URL, FakeEndpoint, FakeTime


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch, tmp_path):
    for name in ("RUNPOD_API_KEY", "ITK_ENDPOINT_ID", "RUNPOD_ENDPOINT_ID", "ITK_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ITK_CONFIG", str(tmp_path / "no-profile.toml"))


@pytest.fixture
def endpoint() -> FakeEndpoint:
    """An endpoint in memory."""
    return FakeEndpoint()


@pytest.fixture
def fake_time() -> FakeTime:
    """A clock that moves by sleeping."""
    return FakeTime()


@pytest.fixture
def client(endpoint, fake_time):
    """A client of the endpoint in memory."""
    with httpx2.Client(transport=endpoint.transport) as http:
        yield Client(
            "fake",
            api_key=API_KEY,
            base_url=BASE_URL,
            http_client=http,
            clock=fake_time.clock(),
        )


@pytest.fixture
async def async_client(endpoint, fake_time):
    """The same for asyncio."""
    async with httpx2.AsyncClient(transport=endpoint.transport) as http:
        yield AsyncClient(
            "fake",
            api_key=API_KEY,
            base_url=BASE_URL,
            http_client=http,
            clock=fake_time.clock(),
        )


@pytest.fixture
def job():
    """A job that needs no local files."""
    return {
        "prompt": "A person talks",
        "cond_video": "https://example.com/face.png",
        "cond_audio": {"person1": "https://example.com/speech.wav"},
    }
