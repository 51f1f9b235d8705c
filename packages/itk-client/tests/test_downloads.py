"""Files arrive whole or not at all."""

import hashlib

import httpx2
import pytest

from itk_client import Clock, DownloadError, RetryPolicy
from itk_client.downloads import Source, download, download_async
from itk_client.testing import PASS, FakeEndpoint

CONTENT = bytes(range(256)) * 4000
SHA = hashlib.sha256(CONTENT).hexdigest()
URL = "https://files.fake.test/video.mp4?signature=s3cr3t"
CLOCK = Clock(sleep=lambda _seconds: None, chance=lambda: 0.5)


def server(*faults):
    """A server of one file, with faults."""
    endpoint = FakeEndpoint([])
    endpoint.files["video.mp4"] = CONTENT
    endpoint.faults = list(faults)
    return endpoint


def fetch(endpoint, target, *, on_bytes=None, url=URL, **facts):
    """Download the file of that server."""
    source = Source(url=url, **{"bytes": len(CONTENT), "sha256": SHA, **facts})
    with httpx2.Client(transport=endpoint.transport) as http:
        return download(
            http, source, target, clock=CLOCK, retry=RetryPolicy(tries=4), on_bytes=on_bytes
        )


class Cut(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body whose connection is lost after its first bytes."""

    def __init__(self, content):
        self.content = content

    def __iter__(self):
        yield self.content
        raise httpx2.ReadError("reset")

    async def __aiter__(self):
        yield self.content
        raise httpx2.ReadError("reset")


def cut(count, status=200, **headers):
    """An answer whose connection is lost."""
    return httpx2.Response(status, stream=Cut(CONTENT[:count]), headers=headers)


def leftovers(folder):
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_plain_download(tmp_path):
    """The file has its name only when it is complete, and progress was told."""
    told = []
    path = fetch(server(), tmp_path / "new" / "v.mp4", on_bytes=lambda *facts: told.append(facts))
    assert path.read_bytes() == CONTENT
    assert leftovers(path.parent) == ["v.mp4"]
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_a_lost_connection_goes_on_where_it_stopped(tmp_path):
    """After a reset only the rest is asked for."""
    endpoint = server(cut(1000))
    assert fetch(endpoint, tmp_path / "v.mp4").read_bytes() == CONTENT
    assert endpoint.requests[1].headers["range"] == "bytes=1000-"


async def test_the_same_for_asyncio(tmp_path):
    """The async download resumes and checks in the same way."""
    endpoint = server(cut(1000), httpx2.ConnectError("refused"))
    source = Source(url=URL, bytes=len(CONTENT), sha256=SHA)
    async with httpx2.AsyncClient(transport=endpoint.transport) as http:
        path = await download_async(
            http, source, tmp_path / "v.mp4", clock=CLOCK, retry=RetryPolicy()
        )
    assert path.read_bytes() == CONTENT


def test_a_server_that_ignores_ranges(tmp_path):
    """200 instead of 206 starts the file over."""
    endpoint = server(cut(1000), httpx2.Response(200, content=CONTENT))
    assert fetch(endpoint, tmp_path / "v.mp4").read_bytes() == CONTENT


def test_a_server_that_sends_another_range(tmp_path):
    """A range that was not asked for is thrown away."""
    wrong = httpx2.Response(
        206, content=CONTENT[500:], headers={"Content-Range": f"bytes 500-1/{len(CONTENT)}"}
    )
    endpoint = server(cut(1000), wrong)
    assert fetch(endpoint, tmp_path / "v.mp4").read_bytes() == CONTENT


def test_a_later_call_goes_on(tmp_path):
    """What arrived of a known file is kept for the next call, under another name."""
    with pytest.raises(DownloadError):
        fetch(server(cut(1000), *[httpx2.ReadError("x")] * 9), tmp_path / "v.mp4")
    assert not (tmp_path / "v.mp4").exists()
    assert len(leftovers(tmp_path)) == 1
    endpoint = server()
    assert fetch(endpoint, tmp_path / "v.mp4").read_bytes() == CONTENT
    assert endpoint.requests[0].headers["range"] == "bytes=1000-"
    assert leftovers(tmp_path) == ["v.mp4"]


def test_another_content_is_refused(tmp_path):
    """A file whose hash differs gets no name and leaves nothing."""
    changed = b"?" + CONTENT[1:]
    with pytest.raises(DownloadError, match="sha256"):
        fetch(server(httpx2.Response(200, content=changed)), tmp_path / "v.mp4")
    assert leftovers(tmp_path) == []


def test_too_much_is_cut_off(tmp_path):
    """More bytes than the result states are not written."""
    with pytest.raises(DownloadError, match="longer"):
        fetch(server(httpx2.Response(200, content=CONTENT + b"more")), tmp_path / "v.mp4")
    assert leftovers(tmp_path) == []


def test_too_little_is_an_error(tmp_path):
    """A file that ends early without a word is not taken for whole."""
    short = [httpx2.Response(200, content=CONTENT[:10]) for _ in range(9)]
    with pytest.raises(DownloadError, match="bytes arrived"):
        fetch(server(*short), tmp_path / "v.mp4", sha256=None)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("status", [403, 404, 410])
def test_an_expired_link_says_so(tmp_path, status):
    """A refused link is not tried again, and its signature is not shown."""
    endpoint = server(httpx2.Response(status))
    with pytest.raises(DownloadError, match="expired") as caught:
        fetch(endpoint, tmp_path / "v.mp4")
    assert len(endpoint.requests) == 1
    assert "s3cr3t" not in str(caught.value) + repr(caught.value)


def test_a_busy_server_is_tried_again(tmp_path):
    """503 passes."""
    endpoint = server(httpx2.Response(503), httpx2.Response(429), PASS)
    assert fetch(endpoint, tmp_path / "v.mp4").read_bytes() == CONTENT


def test_an_existing_file_stays_until_the_new_one_is_whole(tmp_path):
    """A failed download leaves the old file; a good one replaces it."""
    target = tmp_path / "v.mp4"
    target.write_bytes(b"old")
    with pytest.raises(DownloadError):
        fetch(server(*[httpx2.ReadError("x")] * 9), target)
    assert target.read_bytes() == b"old"
    assert fetch(server(), target).read_bytes() == CONTENT


def test_the_same_file_is_not_fetched_twice(tmp_path):
    """A target that already has the content is left alone."""
    target = tmp_path / "v.mp4"
    target.write_bytes(CONTENT)
    endpoint = server()
    fetch(endpoint, target)
    assert endpoint.requests == []


def test_a_place_that_cannot_be_written(tmp_path):
    """A folder that is a file is an error that names it."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match="cannot be written"):
        fetch(server(), tmp_path / "file" / "v.mp4")


def test_redirects_to_storage_are_followed(tmp_path):
    """A download may be sent on to where the file is."""
    on = httpx2.Response(302, headers={"Location": "https://files.fake.test/video.mp4"})
    assert fetch(server(on), tmp_path / "v.mp4").read_bytes() == CONTENT


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "nothing", ""])
def test_only_web_addresses_are_fetched(tmp_path, url):
    """A result cannot make the client read this machine's files."""
    with pytest.raises(DownloadError, match="address was needed"):
        fetch(server(), tmp_path / "v.mp4", url=url)


@pytest.mark.parametrize("url", ["data:video/mp4;base64,!!!", "data:video/mp4;base64,QUJD"])
def test_a_broken_inline_file(tmp_path, url):
    """An inline file that cannot be read or is not whole is an error."""
    with pytest.raises(DownloadError):
        fetch(server(), tmp_path / "v.mp4", url=url)
    assert leftovers(tmp_path) == []
