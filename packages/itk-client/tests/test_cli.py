"""The command line: what it prints where, and how it ends."""

import os
import re
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import pytest
from attrs import fields

from itk_client.cli import main
from itk_client.cli.demo import DemoPlan, run_demo
from itk_client.cli.endpoint_process import EndpointCommand, EndpointProcess, require_worker
from itk_client.cli.exits import MEANINGS, LeftError
from itk_client.cli.flags import GenerationFlags, JobFlags
from itk_client.cli.following import follow
from itk_client.cli.main import NAMES
from itk_client.cli.screen import Screen
from itk_client.errors import EndpointProcessError
from itk_client.testing import FakeEndpoint, progress_look, reply, served
from itk_schema import PARAMETERS, parse_json, to_json

HERE = Path(__file__).parent
FAKE = HERE / "fake_local_endpoint.py"


@pytest.fixture
def running(monkeypatch):
    """A fake endpoint over real HTTP, to which the command line is pointed."""
    endpoint = FakeEndpoint()
    endpoint.script = [endpoint.script[0], *endpoint.script[-2:]]
    endpoint.takes_uploads = True
    with served(endpoint) as base_url:
        monkeypatch.setenv("ITK_BASE_URL", base_url)
        yield endpoint


@pytest.fixture
def media(tmp_path):
    """A picture and speech on this disk."""
    (tmp_path / "face.png").write_bytes(b"png")
    with wave.open(str(tmp_path / "s.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(b"\0\0" * 32000)
    return ["--image", str(tmp_path / "face.png"), "--audio", str(tmp_path / "s.wav")]


def test_help_is_quick():
    """`itk --help` costs less than a second of CPU, without the HTTP library."""
    program = (
        "import sys, time\n"
        "from itk_client.cli import main\n"
        "code = main(['--help'])\n"
        "assert 'httpx2' not in sys.modules and 'rich.progress' not in sys.modules\n"
        "sys.stderr.write(str(time.process_time()))\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "demo" in done.stdout
    assert float(done.stderr) < 1.0


def test_every_parameter_is_a_flag(capsys, monkeypatch):
    """Each parameter of the catalog has a flag with its help; none is written by hand."""
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["generate", "--help"]) == 0
    page = re.sub(r"[\s│]+", "", capsys.readouterr().out)
    for entry in PARAMETERS:
        assert f"--{entry.name.replace('_', '-')}" in page
        assert re.sub(r"\s+", "", entry.help) in page
    assert {spot.name for spot in fields(GenerationFlags)} == {one.name for one in PARAMETERS}


def test_generate_brings_the_files(running, media, tmp_path, capsys):
    """Generate uploads, follows and downloads; paths on stdout, the rest on stderr."""
    out = tmp_path / "out"
    flags = ["--prompt", "hi", "--sample-steps", "8", "--no-use-apg", "--focus", "0.5", "0.25"]
    flags += ["--loras", "a", "--loras", "b", "--store", "volume", "--bbox", "1", "2", "30", "40"]
    code = main(["generate", *media, *flags, "--out", str(out), "--name", "talk"])
    heard = capsys.readouterr()
    assert code == 0, heard.err
    names = ["talk.mp4", "talk.jpg", "talk.json"]
    assert heard.out.split() == [str(out / name) for name in names]
    assert "drawing chunk 1" in heard.err
    (job,) = running.jobs.values()
    assert job.input["sample_steps"] == 8
    assert job.input["use_apg"] is False
    assert job.input["focus"] == [0.5, 0.25]
    assert job.input["loras"] == ["a", "b"]
    assert job.input["bbox"] == [1, 2, 30, 40]
    assert job.input["output_config"] == {"store": "volume"}
    assert "mode" not in job.input


@pytest.mark.usefixtures("running")
def test_one_object_for_scripts(media, tmp_path, capsys):
    """With --json stdout holds one JSON object and nothing else."""
    assert main(["generate", *media, "--prompt", "hi", "--out", str(tmp_path), "--json"]) == 0
    said = parse_json(capsys.readouterr().out)
    assert said["status"] == "success"
    assert said["files"]["video"].endswith(".mp4")
    assert said["endpoint"]["execution_seconds"] == 3.4


@pytest.mark.usefixtures("running")
def test_the_other_verbs(media, capsys):
    """submit, status, wait, result, cancel, retry, health say what the endpoint says."""

    def ask(*arguments):
        assert main([*arguments, "--json"]) == 0
        return parse_json(capsys.readouterr().out)

    job_id = ask("submit", *media, "--prompt", "hi")["job_id"]
    assert ask("status", job_id)["state"] == "IN_QUEUE"
    assert ask("wait", job_id)["state"] == "COMPLETED"
    assert ask("result", job_id)["video"]["frames"] == 81
    assert ask("retry", job_id)["state"] == "IN_QUEUE"
    assert ask("cancel", job_id)["state"] == "CANCELLED"
    assert ask("health")["workers"] == {"idle": 1, "ready": 1}
    assert main(["status", job_id]) == 0
    assert capsys.readouterr().out == "CANCELLED\n"


def test_a_job_file_and_flags_on_top(running, media, tmp_path, capsys):
    """A job file is the base, flags change it; a whole request keeps its policy."""
    path = tmp_path / "job.json"
    job = {"prompt": "from file", "sample_steps": 4, "cond_audio": {"person1": "https://e.com/s"}}
    path.write_text(to_json({"input": job, "policy": {"executionTimeout": 60000}}))
    code = main(["submit", "--job", str(path), *media[:2], "--sample-steps", "6"])
    assert code == 0, capsys.readouterr().err
    (sent,) = running.jobs.values()
    assert (sent.input["prompt"], sent.input["sample_steps"]) == ("from file", 6)
    assert sent.body["policy"]["executionTimeout"] == 60000


def test_validate_needs_no_endpoint(media, capsys):
    """Validate names every problem, with exit code 2, and sends nothing."""
    assert main(["validate", *media, "--prompt", "hi"]) == 0
    assert main(["validate", *media, "--prompt", " ", "--frame-num", "80"]) == 2
    heard = capsys.readouterr().err
    assert "input.prompt" in heard
    assert "input.frame_num" in heard


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "--no-such-flag"],
        ["generate", "--sample-steps", "many"],
        ["generate", "--mode", "sideways"],
        ["nonsense"],
        ["generate", "--image", "a", "--video", "b", "--prompt", "x"],
        ["generate", "--image", "missing.png", "--audio", "s.wav", "--prompt", "x"],
    ],
)
def test_wrong_usage_is_two(running, arguments, capsys):
    """A command or job that is not valid ends with 2 and a sentence."""
    assert main(arguments) == 2
    assert capsys.readouterr().err.strip()
    assert running.jobs == {}


def failing(code):
    """The last look at a job that failed."""
    error = {"code": code, "message": "m", "retryable": False, "hint": "h"}
    return {"status": "FAILED", "error": to_json({"job_id": "", "status": "error", "error": error})}


@pytest.mark.parametrize(
    ("look", "code"),
    [
        (failing("E_OOM"), 4),
        ({"status": "CANCELLED"}, 4),
        ({"status": "TIMED_OUT"}, 5),
        ({"status": "COMPLETED"}, 4),
    ],
)
def test_ends_have_their_codes(running, media, look, code, capsys):
    """A failed job is 4, one that timed out 5; --json says it as an object."""
    running.script = [look]
    assert main(["generate", *media, "--prompt", "hi", "--json"]) == code
    assert parse_json(capsys.readouterr().out)["status"] == "error"


def test_more_ends(running, capsys, monkeypatch):
    """Unknown jobs are 7, refused keys 3, no endpoint 3, no answer 6, impatience 5."""
    assert main(["status", "unknown"]) == 7
    running.faults = [reply(401, {})]
    assert main(["health"]) == 3
    running.script = [{"status": "IN_QUEUE"}]
    flags = ["--image", "https://e.com/a.png", "--audio", "https://e.com/a.wav", "--prompt", "x"]
    assert main(["generate", *flags, "--timeout-seconds", "0.1"]) == 5
    monkeypatch.delenv("ITK_BASE_URL")
    assert main(["health"]) == 3
    assert main(["health", "--base-url", "https://e.com/v2", "--endpoint-id", "x"]) == 3
    heard = capsys.readouterr().err
    assert "RUNPOD_API_KEY" in heard
    assert "ITK_ENDPOINT_ID" in heard


def plan(tmp_path):
    """Where a demo of these tests puts its files."""
    return DemoPlan(out=tmp_path / "out", volume=tmp_path / "volume")


def command(tmp_path, mode, **more):
    """A fake local endpoint to start."""
    return EndpointCommand(
        volume=tmp_path / "volume",
        log=tmp_path / "out" / "worker.log",
        program=(sys.executable, str(FAKE), mode),
        **more,
    )


def demo(tmp_path, mode, **more):
    """Run the demo against a fake local endpoint."""
    flags, generation = JobFlags(), GenerationFlags()
    return run_demo(flags, generation, plan(tmp_path), command=command(tmp_path, mode, **more))


def test_the_demo_leaves_three_files(tmp_path, capsys):
    """The demo needs no argument, prints the paths, the times apart, and which model it was."""
    saved = demo(tmp_path, "good")
    assert saved.video == tmp_path / "out" / "portrait.mp4"
    heard = capsys.readouterr()
    assert heard.out.split() == [str(saved.video), str(saved.thumbnail), str(saved.metadata)]
    assert re.search(r"start-up \d+\.\d s, job \d+\.\d s", heard.err)
    assert "tiny" in heard.err
    assert "worker.log" in heard.err


@pytest.mark.parametrize(
    ("mode", "words"),
    [("broken", "exit code 3"), ("dies", "exit code 9"), ("silent", "did not listen")],
)
def test_a_demo_endpoint_that_fails_shows_its_log(tmp_path, mode, words):
    """An endpoint that does not start or dies ends the demo with the end of its log."""
    with pytest.raises(EndpointProcessError, match=words) as caught:
        demo(tmp_path, mode, start_seconds=2.0 if mode == "silent" else 60)
    assert f"log of a {mode} endpoint" in caught.value.log_tail


def test_no_worker_is_said_kindly(tmp_path):
    """Without itk-worker the demo says what to install."""
    program = (sys.executable, "-m", "no_such_worker.local")
    with pytest.raises(EndpointProcessError, match="install itk-worker"):
        require_worker(EndpointCommand(volume=tmp_path, program=program))


def test_the_endpoint_ends_with_its_with(tmp_path):
    """Nothing of the endpoint is left after the block."""
    with EndpointProcess(command(tmp_path, "good")) as process:
        process.address()
        pid = process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


SLOW_DEMO = f"""
import signal, sys
# A test run in the background ignores Ctrl-C, and so would this process.
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
sys.path.insert(0, {str(HERE)!r})
from test_cli import demo
from itk_client.cli.main import run
sys.exit(run(lambda: demo(Path(sys.argv[1]), "slow")) )
"""


def start_slow_demo(tmp_path):
    """A demo in another process whose job does not end by itself."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_DEMO, str(tmp_path)], stderr=subprocess.PIPE, text=True
    )
    seen = ""
    while "drawing" not in seen and process.poll() is None:
        seen += process.stderr.readline()
    return process


def endpoints_of(tmp_path):
    """Processes that still serve a folder of this test."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if str(FAKE).encode() in words and str(tmp_path / "volume").encode() in words:
            found.append(entry.parent.name)
    return found


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc to look for leftovers")
@pytest.mark.parametrize(
    ("signals", "code", "words"),
    [
        ([signal.SIGINT], 130, "was cancelled"),
        ([signal.SIGTERM], 143, ""),
    ],
)
def test_interrupting_the_demo_leaves_nothing(tmp_path, signals, code, words):
    """Ctrl-C cancels the job and SIGTERM ends at once; the endpoint is taken down both times."""
    process = start_slow_demo(tmp_path)
    assert endpoints_of(tmp_path)
    for one in signals:
        process.send_signal(one)
        time.sleep(0.1)
    _, heard = process.communicate(timeout=30)
    assert process.returncode == code, heard
    assert words in heard
    assert endpoints_of(tmp_path) == []


class Impatient:
    """A job during which a person presses Ctrl-C at every look."""

    id = "a"
    cancels = 0

    def events(self, *, timeout_seconds=None):
        """Be interrupted at once."""
        raise KeyboardInterrupt
        yield timeout_seconds

    def cancel(self):
        """Count."""
        self.cancels += 1


def test_ctrl_c_twice_leaves(capsys):
    """The first Ctrl-C asks for the cancellation, once; the second one leaves."""
    job = Impatient()
    with pytest.raises(LeftError, match="itk status a"), Screen() as screen:
        follow(job, screen)
    assert job.cancels == 1
    assert "Ctrl-C again" in capsys.readouterr().err


def test_lines_where_there_is_no_terminal(capsys):
    """Without a terminal, and where CI is set, progress is lines, and not one per step."""
    from itk_client import JobStatus
    from itk_client.protocol import JobState
    from itk_client.watch import Watch

    watch = Watch("a", started=0)
    with Screen() as screen:
        for step in range(1, 40):
            look = progress_look(f"chunk_0_sampling_{step}", pct=step, seq=step)
            status = JobStatus(job_id="a", state=JobState.IN_PROGRESS, output=look["output"])
            for event in watch.heard(status):
                screen.show(event)
    assert len(capsys.readouterr().err.splitlines()) <= 3


def test_a_live_bar_on_a_terminal():
    """On a terminal there is one bar that is taken away at the end."""
    import io

    stream = io.StringIO()
    with Screen(stream=stream, is_live=True) as screen:
        screen.advance("starting", pct=None)
        screen.advance("drawing [bold]chunk[/bold]", pct=40.0)
        screen.say("a line [red]as it is[/red]")
    assert "[red]as it is[/red]" in stream.getvalue()


def test_exit_codes_are_told():
    """Every exit code has its meaning in the help."""
    assert set(MEANINGS) == {*range(8), 130}
    assert len(NAMES) == 12
