"""A hostile file costs one error, and nothing else."""

from __future__ import annotations

import http.server
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from itk_media import (
    DecoderError,
    DecoderLimits,
    InvalidSourceError,
    MediaError,
    TooLargeError,
    open_video,
    probe,
    read_image,
    read_speech,
)
from itk_media.sandbox import Decoder, redact


@pytest.fixture
def trap():
    """Give a server whose visitors are counted."""
    visits = []

    class Count(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            visits.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Count)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", visits
    server.shutdown()
    thread.join()
    server.server_close()


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\n{url}/a.ts\n",
    "hls-file": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\nfile:///etc/passwd\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" '
    'type="static" mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4">'
    '<Representation id="1" bandwidth="1"><BaseURL>{url}/v.mp4</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>",
    "concat": "ffconcat version 1.0\nfile {url}/a.mp4\nfile /etc/passwd\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
    "smil": '<smil><body><video src="{url}/v.mp4"/></body></smil>',
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_named_mp4_is_refused_without_a_request(trap, tmp_path, name):
    """Neither the network nor another file is touched."""
    url, visits = trap
    path = tmp_path / "v.mp4"
    path.write_text(PLAYLISTS[name].format(url=url))
    for read in (probe, open_video, read_speech):
        with pytest.raises(MediaError) as caught:
            read(path)
        assert "root:" not in str(caught.value)
    assert visits == []


def test_an_external_reference_is_not_followed(media, trap, tmp_path):
    """A QuickTime file whose sound and pictures lie elsewhere does not lead us there."""
    url, visits = trap
    body = media.write_video(tmp_path / "v.mov", count=5).read_bytes()
    secret = media.write_video(tmp_path / "other.mov", count=5)
    inside = b"\x00\x00\x00\x0curl \x00\x00\x00\x01"
    assert inside in body
    for target in (str(secret), f"{url}/x.mov"):
        external = b"url " + b"\x00\x00\x00\x00" + target.encode() + b"\0"
        external = (len(external) + 4).to_bytes(4, "big") + external
        path = tmp_path / "ref.mov"
        path.write_bytes(grown(body, inside, external))
        with open_video(path) as video:  # the file's own data, at the same offsets
            assert video.frames == 5
    assert visits == []


def test_a_decoder_that_hangs_is_killed_with_its_group(tmp_path):
    """Time is bounded whatever a file does to a decoder, and nobody is left over."""
    (tmp_path / "x.png").write_bytes(b"")
    decoder = Decoder(tmp_path / "x.png", "picture", DecoderLimits(answer_seconds=0.3))
    os.kill(decoder.pid, signal.SIGSTOP)
    start = time.monotonic()
    with pytest.raises(DecoderError, match="longer than") as caught:
        decoder.facts()
    assert caught.value.reason == "decoder_timeout"
    assert time.monotonic() - start < 5
    assert not Path(f"/proc/{decoder.pid}").exists()


@pytest.mark.parametrize(
    ("sent", "reason"),
    [(signal.SIGSEGV, "decoder_crashed"), (signal.SIGKILL, "decoder_limits")],
    ids=["crash", "killed"],
)
def test_a_decoder_that_dies_is_an_error_about_the_file(media, tmp_path, sent, reason):
    """The parent lives on and says what happened, with the end of the decoder's log."""
    path = media.write_video(tmp_path / "v.mp4", count=5)
    with open_video(path) as video:
        video.frame_at(0)
        os.kill(video._decoder.pid, sent)
        with pytest.raises(DecoderError) as caught:
            video.frame_at(0.1)
        assert caught.value.reason == reason
        assert not caught.value.retryable
        if sent == signal.SIGSEGV:
            assert "Segmentation fault" in caught.value.log_tail
        with pytest.raises(DecoderError):
            video.frame_at(0.1)
    assert len(caught.value.log_tail) <= 2100


def test_memory_is_bounded(tmp_path):
    """A file that needs more address space than allowed is too large, not a dead worker."""
    path = tmp_path / "p.png"
    from PIL import Image

    Image.new("L", (12000, 3000)).save(path)
    with pytest.raises(TooLargeError, match="more memory") as caught:
        read_image(path, limits=DecoderLimits(memory_bytes=250 << 20))
    assert caught.value.reason == "too_large"


def test_processor_time_is_bounded(media, tmp_path):
    """A file that keeps a processor busy for too long is given up."""
    path = media.write_video(tmp_path / "v.mp4", count=120, size=(480, 272))
    with (
        open_video(path, limits=DecoderLimits(cpu_seconds=1)) as video,
        pytest.raises(DecoderError) as caught,
    ):
        list(map(video.frame_number, [0, 119] * 1000))
    assert caught.value.reason == "decoder_limits"


def test_the_decoder_inherits_no_secrets(monkeypatch, tmp_path):
    """Its environment and its open files hold nothing of ours."""
    monkeypatch.setenv("S3_SECRET_KEY", "hunter2")
    (tmp_path / "x.png").write_bytes(b"x" * 100)
    with socket.socket() as open_socket:
        open_socket.set_inheritable(False)
        decoder = Decoder(tmp_path / "x.png", "video", DecoderLimits())
        environment = Path(f"/proc/{decoder.pid}/environ").read_bytes()
        command = Path(f"/proc/{decoder.pid}/cmdline").read_bytes()
        decoder.close()
    assert b"hunter2" not in environment
    assert b"PATH" not in environment
    assert b"x.png" not in command


def test_the_decoder_cannot_reach_the_network_or_start_programs():
    """Sockets and new programs are refused by the kernel where it can do that."""
    if not Path("/proc/self/status").exists():
        pytest.skip("not a Linux kernel")
    import subprocess
    import sys

    script = (
        "import os, socket\n"
        "from itk_media.decoder.confinement import forbid_network_and_programs\n"
        "print(forbid_network_and_programs())\n"
        "for act in (lambda: socket.socket(), lambda: os.execv('/bin/true', ['true']),\n"
        "            lambda: os.fork()):\n"
        "    try:\n"
        "        act()\n"
        "        print('did')\n"
        "    except OSError as error:\n"
        "        print(error.errno)\n"
        "import threading\n"
        "t = threading.Thread(target=print, args=('thread',)); t.start(); t.join()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    if done[0] == "False":
        pytest.skip("this kernel does not let a process confine itself")
    assert done == ["True", "1", "1", "1", "thread"]


def test_a_forgotten_video_takes_its_decoder_with_it(media, tmp_path):
    """Garbage collection ends the process; nothing waits for the interpreter to end."""
    video = open_video(media.write_video(tmp_path / "v.mp4", count=3))
    pid = video._decoder.pid
    del video
    assert not Path(f"/proc/{pid}").exists()


def test_devices_pipes_and_absent_files_are_refused_at_once(tmp_path):
    """Opening never waits for a writer."""
    os.mkfifo(tmp_path / "pipe")
    for path, reason in (
        (tmp_path / "pipe", "not_regular"),
        (Path("/dev/zero"), "not_regular"),
        (tmp_path, "not_regular"),
        (tmp_path / "none.png", "not_found"),
    ):
        with pytest.raises(InvalidSourceError) as caught:
            read_image(path)
        assert caught.value.reason == reason


def test_a_log_is_redacted():
    """Addresses and folders do not reach the caller; file names may."""
    text = "open https://bucket/x?X-Amz-Signature=abc failed: /runpod-volume/u1/in/a.mp4: bad"
    assert redact(text) == "open <address> failed: <path>/a.mp4: bad"


def grown(body: bytes, old: bytes, new: bytes) -> bytes:
    """Exchange a leaf of an MP4's box tree, with the sizes of all boxes around it."""
    at = body.index(old)
    grown_by = len(new) - len(old)
    patched = bytearray(body)
    for name in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        start = bytes(patched).rindex(name, 0, at) - 4
        size = int.from_bytes(patched[start : start + 4], "big")
        patched[start : start + 4] = (size + grown_by).to_bytes(4, "big")
    patched[at : at + len(old)] = new
    return bytes(patched)
