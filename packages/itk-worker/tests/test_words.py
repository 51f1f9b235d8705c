"""Settings, log, redaction, stop switch, features, codes: the small pieces."""

import ast
import importlib.util
import io
import json
import logging
from pathlib import Path

import pytest
from worker_fakes import job_input

from itk_schema import ErrorCode, parse_input, resolve_parameters
from itk_worker.cancel import JobStoppedError, StopSwitch
from itk_worker.features import MISSING, NotAvailableError, require_available
from itk_worker.logs import Log
from itk_worker.problems import MEANINGS, attempt, explain
from itk_worker.redaction import Redactor
from itk_worker.runpod_loop import UnusableArgumentsError, expand_test_input
from itk_worker.settings import Settings, SettingsError, reference
from itk_worker.weights import WeightsError, find_checkpoint

ROOT = Path(__file__).parents[3]


def test_settings_are_read_once_with_the_designs_names():
    """Our name wins over Runpod's alias; an empty variable is unset."""
    settings = Settings.from_environment(
        {
            "CKPT_DIR": "/weights",
            "S3_ENDPOINT": "https://s3.example",
            "BUCKET_ENDPOINT_URL": "https://other.example",
            "BUCKET_SECRET_ACCESS_KEY": "hidden-value",
            "MAX_VIDEO_SECONDS": "60",
            "QUANT_DIR": " ",
        }
    )
    assert settings.ckpt_dir == Path("/weights")
    assert settings.s3_endpoint == "https://s3.example"
    assert settings.secrets == ("hidden-value",)
    assert settings.max_video_seconds == 60
    assert settings.quant_dir is None
    assert "hidden-value" not in repr(settings)


def test_wrong_settings_are_all_named_at_once():
    """Each sentence names the variable and what it must be; secrets are not repeated."""
    wrong = {
        "MAX_VIDEO_SECONDS": "long",
        "CKPT_DIR": "weights",
        "ITK_ALLOW_PRIVATE_URLS": "maybe",
        "ITK_DTYPE": "int3",
        "ITK_OUTPUT_LIMIT_BYTES": "-1",
    }
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(wrong)
    assert len(caught.value.problems) == len(wrong)
    for name in wrong:
        assert name in str(caught.value)


def test_the_page_about_settings_is_current():
    """docs/worker-settings.md is what `python -m itk_worker.settings` prints."""
    assert (ROOT / "docs" / "worker-settings.md").read_text("utf-8") == reference()


def test_the_log_is_json_lines_without_secrets():
    """Known secrets, query strings, user names, bearer tokens and inline files are hidden."""
    stream = io.StringIO()
    log = Log(stream=stream, redactor=Redactor(("top-secret",)))
    log.write(
        "upload_ok",
        job_id="RP-1",
        details={
            "url": "https://me:pw@s3.example/a/b.mp4?X-Amz-Signature=abc#frag",
            "header": "Bearer abc.def",
            "api_key": "whatever",
            "note": "key is top-secret",
            "file": "data:image/png;base64," + "A" * 100,
            "number": float("inf"),
            "path": Path("/a/b"),
        },
        lat_ms=12,
    )
    text = stream.getvalue()
    entry = json.loads(text)
    assert list(entry) == ["ts", "level", "job_id", "event", "details", "lat_ms"]
    assert entry["ts"].endswith("Z")
    assert entry["details"]["url"] == "https://***@s3.example/a/b.mp4?***"
    for hidden in ("Signature", "abc.def", "whatever", "top-secret", "AAAA", "pw@"):
        assert hidden not in text


def test_libraries_speak_through_the_same_log():
    """A library's warning is one JSON line, also after another library configured logging."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    try:
        logging.basicConfig(level=logging.INFO)
        Log(stream=stream).take_over_logging()
        logging.getLogger("some.library").warning("careful: %s", "https://a.example/?token=1")
    finally:
        logging.captureWarnings(capture=False)
        root.handlers[:] = before
        root.setLevel(level)
    entry = json.loads(stream.getvalue())
    assert entry["level"] == "WARN"
    assert entry["details"]["logger"] == "some.library"
    assert "token" not in entry["details"]["message"]


def test_the_first_reason_to_stop_counts():
    """A cancelled job stays cancelled, whatever comes after."""
    switch = StopSwitch()
    switch.check()
    switch.stop("cancelled")
    switch.stop("interrupted")
    with pytest.raises(JobStoppedError) as caught:
        switch.check()
    assert caught.value.reason == "cancelled"


def test_the_smaller_limit_counts_from_the_jobs_beginning():
    """A limit that is learnt later does not give the job more time."""
    now = [100.0]
    switch = StopSwitch(limit_seconds=50, clock=lambda: now[0])
    switch.limit_to(None)
    switch.limit_to(20)
    switch.limit_to(30)
    now[0] = 119.0
    switch.check()
    assert switch.left_seconds == 1.0
    now[0] = 120.0
    with pytest.raises(JobStoppedError, match="20 s"):
        switch.check()


def test_every_missing_feature_is_named_with_what_to_do_instead():
    """All of them are listed at once, by the path at which the job asks for them."""
    raw = job_input(output_config={"playlist": True}, webhook="https://a.example/")
    job = parse_input(raw)
    with pytest.raises(NotAvailableError) as caught:
        require_available(job, resolve_parameters(job), path="input.batch[1]")
    for field in ("output_config.playlist", "webhook"):
        assert f"input.batch[1].{field}: this worker does not have this yet" in str(caught.value)


def test_a_plain_job_asks_for_nothing_that_is_missing():
    """Defaults and the presets without LoRA pass."""
    for preset in (None, "draft", "quality"):
        job = parse_input(job_input(**({"preset": preset} if preset else {})))
        require_available(job, resolve_parameters(job))
    assert len({missing.field for missing in MISSING}) == len(MISSING)


def test_every_error_of_the_packages_below_has_a_meaning():
    """The names in the table exist where they say, so that none is explained by chance."""
    import itk_media

    (engine,) = importlib.util.find_spec("itk_engine").submodule_search_locations
    source = ast.parse((Path(engine) / "errors.py").read_text("utf-8"))  # without loading torch
    engine_errors = {node.name for node in source.body if isinstance(node, ast.ClassDef)}
    for name in MEANINGS:
        package, _, cls = name.partition(".")
        if package == "itk_media":
            assert issubclass(getattr(itk_media, cls), Exception)
        if package == "itk_engine":
            assert cls in engine_errors
    assert {f"itk_engine.{cls}" for cls in engine_errors - {"EngineError"}} <= set(MEANINGS)


@pytest.mark.parametrize(
    ("error", "stage", "code", "reason"),
    [
        (OSError(28, "No space left on device"), "muxing", "E_FFMPEG", "no_space"),
        (OSError(28, "No space left on device"), "upload", "E_UPLOAD", "no_space"),
        (ZeroDivisionError("x"), "generation_sampling", "E_GENERATION_RUNTIME", "unexpected"),
        (ZeroDivisionError("x"), "downloads", "E_DOWNLOAD_FAILED", "unexpected"),
        (MemoryError(), "generation_decode", "E_OOM", "out_of_memory"),
        (JobStoppedError("interrupted"), "muxing", "E_INTERRUPTED", "shutdown"),
    ],
    ids=["full-temp", "full-volume", "bug", "bug-in-fetch", "memory", "sigterm"],
)
def test_a_foreign_error_is_explained_by_where_it_happened(error, stage, code, reason):
    """Nobody's exception leaves without a code."""
    info = explain(error, at_stage=stage, redactor=Redactor())
    assert (info.code, info.reason, info.at_stage) == (code, reason, stage)
    assert info.message
    assert info.cause_class


def test_a_failure_is_logged_with_its_code_and_the_tail_of_its_stack():
    """The line helps a developer, and holds no secret."""
    stream = io.StringIO()
    log = Log(stream=stream, redactor=Redactor(("top-secret",))).for_job("RP-1")

    def work():
        raise RuntimeError("top-secret https://a.example/x?sig=1")

    info = attempt(work, stage=lambda: "upload", log=log)
    entry = json.loads(stream.getvalue())
    assert info.code == ErrorCode.E_UPLOAD
    assert (entry["level"], entry["event"]) == ("ERROR", "error")
    assert entry["details"]["code"] == "E_UPLOAD"
    assert "in work" in entry["details"]["stack_tail"][-1]
    for hidden in ("top-secret", "sig=1"):
        assert hidden not in stream.getvalue()
        assert hidden not in info.message
        assert hidden not in info.cause_message


def test_a_test_input_may_be_a_file(tmp_path):
    """@file is replaced by its content; other arguments pass through."""
    (tmp_path / "job.json").write_text('{"input": {"prompt": "x"}}')
    arguments = ["--rp_log_level", "INFO", "--test_input", f"@{tmp_path / 'job.json'}"]
    assert expand_test_input(arguments)[2:] == ["--test_input", '{"input": {"prompt": "x"}}']
    for wrong in ("@/no/such", "[1]", "{", '{"input": 3}'):
        with pytest.raises(UnusableArgumentsError):
            expand_test_input([f"--test_input={wrong}"])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ckpt_dir": Path("/no/weights")}, "CKPT_DIR is /no/weights"),
        ({"wav2vec_dir": Path("/")}, "CKPT_DIR is not set"),
        ({"ckpt_dir": Path("/"), "infinitetalk_dir": Path("/no")}, "single/infinitetalk.safet"),
        ({"ckpt_dir": Path("/")}, "WAV2VEC_DIR is not set"),
    ],
    ids=["missing", "half", "adapter", "speech"],
)
def test_weights_that_are_not_there_are_named_with_their_variable(settings, words):
    """The operator learns which variable to correct."""
    with pytest.raises(WeightsError, match=words):
        find_checkpoint(Settings(**settings))
