"""What holds for every job that can be thought of, tried on many."""

import copy
import math
from typing import Any

import attrs
import jsonschema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import itk_schema
from itk_schema import InvalidJobError, JobInput, OutputConfig, Policy, TtsAudio
from itk_schema.kinds import Kind, fields_of, kind_of
from itk_schema.rules import NO_RULE, Rule, rule_of, wire_name

MEDIA = st.sampled_from(
    [
        "https://example.com/a.png?sig=1",
        "http://10.0.0.1:8080/x",
        "data:audio/wav;base64,UklGRg==",
        "/9j/4AAQSkZJRg==",
        "/runpod-volume/in/a b.mp4",
        "iVBORw0KGgo=",
    ]
)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
PATTERNED: dict[str, st.SearchStrategy[str]] = {
    "prompt": st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30).map(
        lambda text: f"a{text}"
    ),
    "negative_prompt": st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30),
    "text": st.just("(s1) How are you? (s2) Fine."),
    "human1_voice": NAMES,
    "human2_voice": NAMES,
    "language": st.sampled_from(["en", "en-us", "zh-Hans-CN"]),
    "bucket": st.sampled_from(["videos", "my-bucket.eu"]),
    "region": st.sampled_from(["eu-west-1", "auto"]),
    "prefix": st.sampled_from(["jobs", "jobs/{date}/mine/", "a/b/c"]),
    "put_url": st.just("https://example.com/put?signature=abc"),
    "webhook": st.just("https://example.com/hook"),
    "quant_dir": st.sampled_from(["fp8-single", "/weights/quant"]),
    "id": NAMES,
    "request_id": NAMES,
}
CHECKED = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
SCHEMA = jsonschema.Draft202012Validator(itk_schema.json_schema())


def values(name: str, kind: Kind, rule: Rule) -> st.SearchStrategy[Any]:
    """Return wire values that one field accepts."""
    if kind.name in ("choice", "boolean"):
        return st.sampled_from(kind.choices or (False, True))
    if kind.name == "integer" or rule.wire_scale != 1:
        return _whole_numbers(rule)
    if kind.name == "number":
        return st.floats(rule.minimum, rule.maximum, allow_nan=False)
    if kind.name == "text":
        return PATTERNED.get(name, MEDIA)
    if kind.name == "list" and kind.fixed:
        each = rule.each or NO_RULE
        entries = [values(name, item, each) for item in kind.items]
        listed = st.tuples(*entries).map(list)
        return (
            listed.filter(lambda found: len(set(found)) == len(found)) if rule.distinct else listed
        )
    assert kind.name == "list"
    return st.lists(NAMES, max_size=3, unique=True)


def _whole_numbers(rule: Rule) -> st.SearchStrategy[int]:
    low, high = int(rule.minimum or 0) * rule.wire_scale, int(rule.maximum or 0) * rule.wire_scale
    if rule.multiple_of:
        steps = (high - low) // rule.multiple_of
        return st.integers(0, steps).map(lambda n: low + n * rule.multiple_of)
    return st.integers(low, high)


def objects(cls: type[Any], *, without: tuple[str, ...] = ()) -> st.SearchStrategy[dict[str, Any]]:
    """Return wire objects of a class whose fields are plain values."""
    required, optional = {}, {}
    for field in fields_of(cls):
        if field.name in without:
            continue
        where = required if field.default is attrs.NOTHING else optional
        where[wire_name(field)] = values(field.name, kind_of(field), rule_of(field))
    return st.fixed_dictionaries(required, optional=optional)


@st.composite
def boxes(draw: st.DrawFn) -> list[int]:
    """Return a box with its corners in order."""
    x0, y0 = draw(st.integers(0, 100)), draw(st.integers(0, 100))
    return [x0, y0, x0 + draw(st.integers(1, 100)), y0 + draw(st.integers(1, 100))]


@st.composite
def outputs(draw: st.DrawFn) -> dict[str, Any]:
    """Return an output_config whose wishes go together."""
    config = draw(objects(OutputConfig))
    if config.get("store") in ("volume", "inline"):
        config.pop("bucket", None)
        config.pop("region", None)
    if config.get("store") == "inline" or "put_url" in config:
        config.pop("playlist", None)
    return config


@st.composite
def jobs(draw: st.DrawFn) -> dict[str, Any]:
    """Return a job that a worker accepts, as JSON."""
    nested = ("cond_audio", "tts_audio", "bbox", "masks", "output_config")
    job = draw(objects(JobInput, without=nested))
    speakers = draw(st.sampled_from([1, 2]))
    people = ["person1", "person2"][:speakers]
    if draw(st.booleans()):
        job["cond_audio"] = {person: draw(MEDIA) for person in people}
    else:
        job["tts_audio"] = draw(objects(TtsAudio))
        if speakers == 1:
            job["tts_audio"].pop("human2_voice", None)
            job["tts_audio"]["text"] = "Fine."
    region = draw(st.sampled_from(["none", "bbox", "masks"]))
    if region == "bbox":
        box = {person: draw(boxes()) for person in people}
        job["bbox"] = box if speakers == 2 else box["person1"]
    elif region == "masks":
        job["masks"] = {person: draw(MEDIA) for person in people}
    if draw(st.booleans()):
        job["output_config"] = draw(outputs())
    return _agreeing(job, speakers)


def _agreeing(job: dict[str, Any], speakers: int) -> dict[str, Any]:
    if speakers == 1:
        job.pop("audio_type", None)
        job.pop("speaker_order", None)
    elif job.get("audio_type") != "add":
        job.pop("speaker_order", None)
    if job.get("motion_frame", 0) >= job.get("frame_num", 81):
        del job["motion_frame"]
    end = job.get("speech_end_seconds")
    if end is not None and end - job.get("speech_start_seconds", 0.0) < 0.4:
        del job["speech_end_seconds"]
    if "quant" not in job:
        job.pop("quant_dir", None)
    return job


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """Return a whole request that a worker accepts, single or batch, as JSON."""
    if draw(st.booleans()):
        items = draw(st.lists(jobs(), min_size=1, max_size=3))
        body: dict[str, Any] = {"batch": [{**item, "id": f"n{i}"} for i, item in enumerate(items)]}
    else:
        body = draw(jobs())
    request: dict[str, Any] = {"input": body}
    if draw(st.booleans()):
        request["policy"] = draw(objects(Policy))
    return request


PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**4000, 10**4400)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["\ud800", "data:,", "9" * 5000, "-1", "NaN"])
)
FIELD_NAMES = st.sampled_from(
    ["prompt", "cond_video", "cond_audio", "batch", "person1", "text", "bbox", "id", "store"]
)
JUNK = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | FIELD_NAMES, inner, max_size=5)
        | st.dictionaries(st.integers() | st.none(), inner, max_size=2)
    ),
    max_leaves=12,
)


@CHECKED
@given(requests())
def test_a_valid_request_survives_the_round_trip(raw: dict[str, Any]) -> None:
    """What is parsed, dumped and parsed again is the same, and the JSON Schema accepts it too."""
    request = itk_schema.parse_request(raw)
    SCHEMA.validate(raw)
    assert itk_schema.parse_request(itk_schema.dump(request)) == request
    assert itk_schema.parse_request(itk_schema.parse_json(itk_schema.to_json(request))) == request
    SCHEMA.validate(itk_schema.dump(request))


@CHECKED
@given(JUNK)
def test_junk_is_refused_and_never_crashes(raw: Any) -> None:
    """Whatever is sent, the answer is a job or a list of problems that can be shown."""
    for parse in (itk_schema.parse_input, itk_schema.parse_request, itk_schema.parse_output):
        try:
            parse(raw)
        except InvalidJobError as error:
            shown(error)
    itk_schema.parse_progress(raw)
    assert itk_schema.parse_failure(raw).error.message


@CHECKED
@given(requests(), st.data())
def test_a_mutated_request_is_accepted_or_explained(
    raw: dict[str, Any], data: st.DataObject
) -> None:
    """One value replaced by junk gives a job or problems; what passes, passes the schema too."""
    broken = copy.deepcopy(raw)
    holder: Any = broken
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = data.draw(st.sampled_from(keys))
        inner = holder[key]
        if not isinstance(inner, (dict, list)) or not inner or data.draw(st.booleans()):
            break
        holder = inner
    holder[key] = data.draw(JUNK)
    try:
        request = itk_schema.parse_request(broken)
    except InvalidJobError as error:
        shown(error)
    else:
        SCHEMA.validate(broken)
        assert itk_schema.parse_request(itk_schema.dump(request)) == request


@CHECKED
@given(st.binary(max_size=60) | st.text(max_size=60))
def test_any_text_is_json_or_a_problem(text: str | bytes) -> None:
    """Bytes that are no JSON are an InvalidJobError, and what is JSON holds no NaN."""
    try:
        value = itk_schema.parse_json(text)
    except InvalidJobError as error:
        shown(error)
    else:
        assert not isinstance(value, float) or math.isfinite(value)


def shown(error: InvalidJobError) -> None:
    """Prove that each problem can be printed, is short, and repeats no file."""
    assert error.problems
    str(error).encode()
    for problem in error.problems:
        assert problem.path
        assert problem.needed
        assert len(problem.came) <= 120
        assert len(problem.path) <= 400
