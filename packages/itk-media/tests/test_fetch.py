# ruff: noqa: D102  the pages of the test server are named for what they serve
"""Media strings of every kind arrive as local files, or fail with a precise reason."""

from __future__ import annotations

import base64
import gzip
import io
import os
import pickle
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from attrs import evolve
from PIL import Image

from itk_media import (
    BlockedAddressError,
    DownloadError,
    DownloadRules,
    Fetcher,
    InvalidSourceError,
    MediaError,
    TooLargeError,
    UnsupportedMediaError,
)
from itk_media.addresses import is_allowed


def picture(kind: str = "PNG") -> bytes:
    """Give a small real picture."""
    body = io.BytesIO()
    Image.new("RGB", (32, 24), (200, 100, 0)).save(body, kind)
    return body.getvalue()


PNG = picture()
JPEG = picture("JPEG")


class Pages(BaseHTTPRequestHandler):
    """Serves the good and the bad."""

    seen: list[tuple[str, str]]
    failures_left: int

    def log_message(self, *_):
        """Stay quiet."""

    def do_GET(self):
        """Answer by path."""
        self.server.seen.append((self.path, dict(self.headers)))
        getattr(self, "page_" + self.path.split("?")[0].strip("/").replace("-", "_"))()

    def reply(self, status=200, body=b"", **fields):
        """Send a whole answer."""
        self.send_response(status)
        fields.setdefault("Content_Length", str(len(body)))
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def page_picture(self):
        self.reply(body=PNG)

    def page_web_page(self):
        self.reply(body=b"<!DOCTYPE html><html>not a video</html>")

    def page_missing(self):
        self.reply(404)

    def page_gone(self):
        self.reply(410)

    def page_broken(self):
        self.reply(500)

    def page_busy_once(self):
        if self.server.failures_left:
            self.server.failures_left -= 1
            self.reply(429, Retry_After="1")
        else:
            self.reply(body=PNG)

    def page_endless(self):
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(PNG + bytes(65536))
        except OSError:
            pass

    def page_promises_too_much(self):
        self.reply(body=PNG, Content_Length=str(10**12))

    def page_truncated(self):
        self.reply(body=PNG[:50], Content_Length=str(len(PNG)))

    def page_slow(self):
        self.send_response(200)
        self.end_headers()
        try:
            for k in range(200):
                self.wfile.write(PNG[k : k + 1])
                self.wfile.flush()
                time.sleep(0.02)
        except OSError:
            pass

    def page_slow_header(self):
        try:
            for letter in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 300:
                self.wfile.write(bytes([letter]))
                self.wfile.flush()
                time.sleep(0.02)
        except OSError:
            pass

    def page_zipped(self):
        self.reply(body=gzip.compress(PNG), Content_Encoding="gzip")

    def page_to_metadata(self):
        self.reply(302, Location="http://169.254.169.254/latest/meta-data/")

    def page_to_file(self):
        self.reply(302, Location="file:///etc/passwd")

    def page_to_picture(self):
        self.reply(301, Location="/picture")

    def page_round(self):
        self.reply(302, Location="/round")

    def page_empty(self):
        self.reply(body=b"")


@pytest.fixture
def server():
    """Give a real HTTP server on the loopback interface."""
    running = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    running.daemon_threads = True
    running.seen, running.failures_left = [], 1
    running.url = f"http://127.0.0.1:{running.server_port}"
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def pauses():
    """Collect the pauses that retries ask for."""
    return []


@pytest.fixture
def local(pauses):
    """Give a fetcher that may visit the loopback interface and never really sleeps."""
    rules = DownloadRules(allow_private=True, sleep=pauses.append, deadline_seconds=20.0)
    return Fetcher(rules=rules)


def fetch(fetcher, source, folder, kind="picture"):
    """Fetch, and prove that a failure leaves nothing behind."""
    before = set(folder.iterdir())
    try:
        return fetcher.fetch(source, kind=kind, into=folder)
    except MediaError:
        assert set(folder.iterdir()) == before
        raise


def test_errors_survive_the_way_between_processes():
    """Message, reason and the retry mark are the same after pickling."""
    for error in (DownloadError("late", "timeout"), TooLargeError("big"), MediaError("m", "r")):
        again = pickle.loads(pickle.dumps(error))  # noqa: S301  our own bytes
        assert type(again) is type(error)
        assert (str(again), again.reason, again.retryable) == (
            error.message,
            error.reason,
            error.retryable,
        )


def test_a_download_arrives_under_a_name_of_our_own(server, local, tmp_path):
    """The type is found by the bytes; no credentials and no encodings are asked for."""
    got = fetch(local, f"{server.url}/picture?name=../../x.exe", tmp_path)
    assert got.path.parent == tmp_path
    assert (got.path.suffix, got.mime, got.bytes) == (".png", "image/png", len(PNG))
    assert got.path.read_bytes() == PNG
    headers = server.seen[0][1]
    assert headers["Accept-Encoding"] == "identity"
    assert headers["Host"] == server.url.removeprefix("http://")
    assert not {"Authorization", "Cookie", "Referer"} & set(headers)


@pytest.mark.parametrize(
    ("page", "kind", "reason", "retryable"),
    [
        ("missing", DownloadError, "http_404", False),
        ("gone", DownloadError, "http_410", False),
        ("broken", DownloadError, "http_500", True),
        ("endless", TooLargeError, "too_large", False),
        ("promises-too-much", TooLargeError, "too_large", False),
        ("truncated", DownloadError, "connection", True),
        ("web-page", UnsupportedMediaError, "unsupported_media", False),
        ("zipped", DownloadError, "content_encoding", False),
        ("to-metadata", BlockedAddressError, "blocked_address", False),
        ("to-file", InvalidSourceError, "bad_scheme", False),
        ("round", DownloadError, "too_many_redirects", False),
        ("empty", DownloadError, "empty", False),
    ],
)
def test_every_bad_page_has_its_reason(server, local, tmp_path, page, kind, reason, retryable):
    """What went wrong, and whether to try again, is said in words for programs."""
    fetcher = evolve(local, max_bytes={"picture": 200_000})
    with pytest.raises(kind) as caught:
        fetch(fetcher, f"{server.url}/{page}", tmp_path)
    assert (caught.value.reason, caught.value.retryable) == (reason, retryable)


def test_passing_trouble_is_tried_again_when_the_server_says(server, local, pauses, tmp_path):
    """A 429 with Retry-After waits at least that long and then succeeds."""
    assert fetch(local, f"{server.url}/busy-once", tmp_path).mime == "image/png"
    assert pauses == [1.0]


def test_lasting_trouble_ends_after_three_tries(server, local, pauses, tmp_path):
    """Two pauses, three requests, one error."""
    with pytest.raises(DownloadError):
        fetch(local, f"{server.url}/broken", tmp_path)
    assert (len(pauses), len(server.seen)) == (2, 3)


def test_redirects_are_followed_three_times_at_most(server, local, tmp_path):
    """One is fine; a ring is not."""
    assert fetch(local, f"{server.url}/to-picture", tmp_path).mime == "image/png"
    server.seen.clear()
    with pytest.raises(DownloadError):
        fetch(local, f"{server.url}/round", tmp_path)
    assert len(server.seen) == 4


@pytest.mark.parametrize("page", ["slow", "slow-header"])
def test_a_drip_ends_at_the_deadline(server, local, tmp_path, page):
    """A byte at a time keeps no worker: the total time is bounded, headers included."""
    rules = evolve(local.rules, deadline_seconds=0.6, attempts=1)
    start = time.monotonic()
    with pytest.raises(DownloadError) as caught:
        fetch(evolve(local, rules=rules), f"{server.url}/{page}", tmp_path)
    assert caught.value.reason == "timeout"
    assert caught.value.retryable
    assert time.monotonic() - start < 3


def test_a_crawl_below_the_lowest_rate_is_ended(server, local, tmp_path):
    """Fifty bytes a second are not a download."""
    rules = evolve(local.rules, grace_seconds=0.3, attempts=1)
    with pytest.raises(DownloadError) as caught:
        fetch(evolve(local, rules=rules), f"{server.url}/slow", tmp_path)
    assert (caught.value.reason, caught.value.retryable) == ("too_slow", True)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "http://100.100.100.200/",
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0/",
        "http://0.0.0.0/",
        "http://[::]/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[2002:7f00:1::]/",
        "http://[::127.0.0.1]/",
        "http://[fe80::1]/",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://172.16.0.1/",
        "http://168.63.129.16/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://localhost/",
    ],
)
def test_addresses_inside_are_blocked_in_every_spelling(url, tmp_path):
    """No packet is sent, and trying again is no use."""
    with pytest.raises(BlockedAddressError) as caught:
        fetch(Fetcher(), url, tmp_path)
    assert (caught.value.reason, caught.value.retryable) == ("blocked_address", False)


def test_one_private_address_among_public_ones_blocks_the_host(tmp_path):
    """A name that resolves to both is not visited."""
    rules = DownloadRules(resolve=lambda *_: ["93.184.215.14", "10.0.0.7"])
    with pytest.raises(BlockedAddressError):
        fetch(Fetcher(rules=rules), "http://both.example/x.png", tmp_path)


def test_a_rebound_name_is_not_asked_for_twice(server, local, tmp_path):
    """The checked address is the one connected to; the name is resolved once a hop."""
    asked = []

    def resolve(host, port):
        asked.append((host, port))
        return ["127.0.0.1"]

    rules = evolve(local.rules, resolve=resolve)
    port = server.server_port
    fetch(evolve(local, rules=rules), f"http://portrait.example:{port}/picture", tmp_path)
    assert asked == [("portrait.example", port)]
    assert server.seen[0][1]["Host"] == f"portrait.example:{port}"


def test_the_second_hop_is_checked_like_the_first(server, local, tmp_path):
    """A name that turns private between two hops is blocked."""
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    rules = evolve(local.rules, resolve=lambda *_: next(answers))
    with pytest.raises(BlockedAddressError):
        fetch(evolve(local, rules=rules), f"{server.url}/to-picture", tmp_path)


def test_metadata_services_stay_blocked_for_a_local_endpoint():
    """Allowing private addresses does not open the link-local ones."""
    assert is_allowed("127.0.0.1", allow_private=True)
    assert is_allowed("192.168.0.5", allow_private=True)
    assert not is_allowed("169.254.169.254", allow_private=True)
    assert not is_allowed("0.0.0.0", allow_private=True)  # noqa: S104  it must be refused
    assert is_allowed("93.184.215.14")
    assert is_allowed("2606:2800:21f:cb07::1")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("file:///etc/passwd", "bad_scheme"),
        ("ftp://example.com/x", "bad_scheme"),
        ("gopher://example.com/x", "bad_scheme"),
        ("https://user:secret@example.com/x.png", "bad_url"),
        ("http://example.com/\r\nHost: inside", "bad_url"),
        ("http://example.com\\@127.0.0.1/", "bad_url"),
        ("http:///x.png", "bad_scheme"),
        ("http://0177.0.0.1/", "bad_url"),
        ("concat:/etc/passwd|/etc/hosts", "bad_path"),
        ("pipe:0", "bad_path"),
        ("", "bad_path"),
        ("input.png", "bad_path"),
        ("/etc/passwd\0.png", "bad_path"),
        ("/" + "a" * 5000, "bad_path"),
    ],
)
def test_other_schemes_and_malformed_addresses_are_refused(source, reason, tmp_path):
    """Only http and https are addresses; nothing reaches FFmpeg's protocols."""
    with pytest.raises(InvalidSourceError) as caught:
        fetch(Fetcher(roots=(tmp_path,)), source, tmp_path)
    assert caught.value.reason == reason


def test_other_ports_are_refused_unless_allowed(tmp_path):
    """A database's port is not a picture's."""
    with pytest.raises(BlockedAddressError, match="port 6379") as caught:
        fetch(Fetcher(), "http://93.184.215.14:6379/", tmp_path)
    assert caught.value.reason == "blocked_port"


def test_the_environment_s_proxy_is_not_used(server, local, tmp_path, monkeypatch):
    """A proxy would resolve names itself and so pass by the filter."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert fetch(local, f"{server.url}/picture", tmp_path).bytes == len(PNG)
    with pytest.raises(BlockedAddressError):
        Fetcher().fetch("http://127.0.0.1/", kind="picture", into=tmp_path)


def test_a_refused_connection_may_pass(local, tmp_path):
    """Nobody listens: retryable, after the tries are used up."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(DownloadError) as caught:
        fetch(local, f"http://127.0.0.1:{port}/", tmp_path)
    assert (caught.value.reason, caught.value.retryable) == ("connection", True)


@pytest.mark.parametrize(
    ("source", "mime"),
    [
        ("data:image/png;base64," + base64.b64encode(PNG).decode(), "image/png"),
        ("data:application/pdf;base64," + base64.b64encode(PNG).decode(), "image/png"),
        ("DATA:;base64," + base64.b64encode(JPEG).decode(), "image/jpeg"),
        ("data:image/png," + "".join(f"%{byte:02x}" for byte in PNG), "image/png"),
        (base64.b64encode(PNG).decode(), "image/png"),
        (base64.b64encode(JPEG).decode(), "image/jpeg"),
    ],
    ids=["data", "lying-type", "no-type", "percent", "base64-png", "base64-jpeg"],
)
def test_inline_media_is_judged_by_its_bytes(source, mime, tmp_path):
    """A JPEG's base64 begins with /9j/ and is no path; a wrong media type does not matter."""
    assert fetch(Fetcher(roots=(tmp_path,)), source, tmp_path).mime == mime
    assert base64.b64encode(JPEG).startswith(b"/9j/")


@pytest.mark.parametrize(
    ("source", "kind", "reason"),
    [
        ("data:image/png;base64,@@@@", InvalidSourceError, "bad_base64"),
        ("data:image/png;base64,iVBORw0KGg", InvalidSourceError, "bad_base64"),
        (
            "data:image/png;base64," + base64.encodebytes(PNG).decode(),
            InvalidSourceError,
            "bad_base64",
        ),
        (base64.b64encode(PNG).decode()[:-3], InvalidSourceError, "bad_base64"),
        ("data:image/png;base64", InvalidSourceError, "bad_data_uri"),
        ("data:image/png;base64," + "A" * 8000, TooLargeError, "too_large"),
        ("data:image/svg+xml,<svg/>", UnsupportedMediaError, "unsupported_media"),
        ("data:,", UnsupportedMediaError, "unsupported_media"),
    ],
    ids=["alphabet", "padding", "newlines", "cut", "no-comma", "large", "svg", "nothing"],
)
def test_bad_inline_text_is_named(source, kind, reason, tmp_path):
    """Padding, whitespace, alphabet and size are checked, the size before decoding."""
    fetcher = Fetcher(max_bytes={"picture": 4000})
    with pytest.raises(kind) as caught:
        fetch(fetcher, source, tmp_path)
    assert caught.value.reason == reason


def test_a_mask_must_be_a_picture_and_speech_must_sound(tmp_path):
    """The kind decides what types will do."""
    inline = "data:;base64," + base64.b64encode(PNG).decode()
    assert fetch(Fetcher(), inline, tmp_path, "mask").mime == "image/png"
    with pytest.raises(UnsupportedMediaError, match=r"a sound file .* got image/png"):
        Fetcher().fetch(inline, kind="speech", into=tmp_path)


@pytest.fixture
def volume(tmp_path):
    """Give a volume with a picture in it, and a secret beside it."""
    root = tmp_path / "volume"
    (root / "inputs").mkdir(parents=True)
    (root / "inputs" / "a -x\n'ü.png").write_bytes(PNG)
    (tmp_path / "secret.png").write_bytes(PNG)
    return root


def test_a_path_below_a_root_is_copied(volume, tmp_path):
    """Odd names stay on the volume; a link within the volume is followed."""
    into = tmp_path / "into"
    into.mkdir()
    source = volume / "inputs" / "a -x\n'ü.png"
    got = Fetcher(roots=(volume,)).fetch(str(source), kind="picture", into=into)
    assert got.path.read_bytes() == PNG
    assert got.path.name.isascii()
    (volume / "link.png").symlink_to(source)
    assert Fetcher(roots=(volume,)).fetch(str(volume / "link.png"), kind="mask", into=into).bytes


def test_ways_out_of_the_volume_are_closed(volume, tmp_path):
    """Dots, links, devices, pipes, folders and second names are all refused."""
    into = tmp_path / "into"
    into.mkdir()
    (volume / "out.png").symlink_to(tmp_path / "secret.png")
    (volume / "folder").symlink_to(tmp_path)
    (volume / "null").symlink_to("/dev/null")
    os.mkfifo(volume / "pipe")
    os.link(tmp_path / "secret.png", volume / "hard.png")
    fetcher = Fetcher(roots=(volume,))
    reasons = {
        f"{volume}/../secret.png": "outside_root",
        f"{volume}/out.png": "outside_root",
        f"{volume}/folder/secret.png": "outside_root",
        f"{volume}/null": "outside_root",
        "/dev/zero": "outside_root",
        "/etc/passwd": "outside_root",
        f"{volume}": "outside_root",
        f"{volume}2/x.png": "outside_root",
        f"{volume}/pipe": "not_regular",
        f"{volume}/inputs": "not_regular",
        f"{volume}/hard.png": "hard_link",
        f"{volume}/nothing.png": "not_found",
    }
    for source, reason in reasons.items():
        with pytest.raises(InvalidSourceError) as caught:
            fetch(fetcher, source, into)
        assert (source, caught.value.reason) == (source, reason)


def test_without_roots_no_path_is_read(volume, tmp_path):
    """An endpoint without a volume reads nothing of its own disk."""
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(InvalidSourceError, match="none"):
        fetch(Fetcher(), str(volume / "inputs"), into)


def test_a_large_file_on_the_volume_is_refused_before_copying(volume, tmp_path):
    """The size is known without reading."""
    into = tmp_path / "into"
    into.mkdir()
    with (volume / "big.png").open("wb") as file:
        file.truncate(10**10)
    with pytest.raises(TooLargeError):
        fetch(Fetcher(roots=(volume,)), str(volume / "big.png"), into)
