"""The JSON Schema and the pages of docs/ say what the parser does."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import itk_schema
from itk_schema import InvalidJobError
from itk_schema.reference import main, pages

DOCS = Path(__file__).parents[3] / "docs"
VALIDATOR = jsonschema.Draft202012Validator(itk_schema.json_schema())
JOB: dict[str, Any] = {
    "prompt": "A woman sings",
    "cond_video": "https://example.com/a.jpg",
    "cond_audio": {"person1": "https://example.com/a.wav"},
}
FAULTS: list[dict[str, Any]] = [
    {"prompt": " \n"},
    {"prompt": "a\0"},
    {"prompt": "a" * 5001},
    {"prompt": None},
    {"cond_video": "me.jpg"},
    {"cond_video": "file:///etc/passwd"},
    {"cond_video": "data:image/png;base64,"},
    {"cond_video": "/a.png\n"},
    {"cond_audio": {}},
    {"cond_audio": None},
    {"cond_audio": {"person2": "/a.wav"}},
    {"tts_audio": {"text": "Hi."}},
    {"frame_num": 80},
    {"frame_num": 1},
    {"frame_num": True},
    {"sample_steps": 0},
    {"sample_steps": 8.5},
    {"sample_steps": "8"},
    {"sample_shift": True},
    {"size": "480"},
    {"use_apg": 1},
    {"focus": [0.5]},
    {"focus": [0.5, 2]},
    {"focus": [0.5, 0.5, 0.5]},
    {"bbox": [1, 2, 3]},
    {"bbox": [1, 2, 3, 4.5]},
    {"bbox": {"person1": [0, 0, 1, 1]}},
    {"loras": ["a", "a"]},
    {"loras": ["a b"]},
    {"speaker_order": ["person1", "person1"]},
    {"webhook": "https://user:secret@host/"},
    {"webhook": "https://host/\n"},
    {"id": "a/b"},
    {"id": "a\n"},
    {"output_config": {"prefix": "a/../b"}},
    {"output_config": {"prefix": "a/.."}},
    {"output_config": {"bucket": "A"}},
    {"output_config": {"store": "ftp"}},
    {"schema_version": 2},
    {"deadline_seconds": 0},
    {"unknown": 1},
    {"batch": []},
]


def test_the_schema_is_a_schema() -> None:
    """It obeys draft 2020-12 and describes every field."""
    jsonschema.Draft202012Validator.check_schema(itk_schema.json_schema())
    jsonschema.Draft202012Validator.check_schema(itk_schema.result_schema())
    definitions = itk_schema.json_schema()["$defs"]
    assert set(definitions) == {
        "Batch", "CondAudio", "JobInput", "Masks", "OutputConfig", "Policy", "SpeakerBoxes",
        "TtsAudio",
    }  # fmt: skip
    for definition in definitions.values():
        assert definition["additionalProperties"] is False
        assert all(field["description"] for field in definition["properties"].values())


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_parser_and_schema_refuse_the_same(fault: dict[str, Any]) -> None:
    """One wrong field is refused by both."""
    VALIDATOR.validate({"input": JOB})
    itk_schema.parse_input(JOB)
    assert not VALIDATOR.is_valid({"input": {**JOB, **fault}})
    with pytest.raises(InvalidJobError):
        itk_schema.parse_input({**JOB, **fault})


@pytest.mark.parametrize("outer", [{"policy": {"executionTimeout": 1800}}, {"policy": 1}, {"x": 1}])
def test_the_request_around_the_job_is_held_to_both(outer: dict[str, Any]) -> None:
    """Policy and unknown neighbours of the input are refused by both."""
    assert not VALIDATOR.is_valid({"input": JOB, **outer})
    with pytest.raises(InvalidJobError):
        itk_schema.parse_request({"input": JOB, **outer})


@pytest.mark.parametrize("name", sorted(pages()))
def test_the_pages_are_current(name: str) -> None:
    """docs/ holds what the contract says today; `python -m itk_schema.reference docs` writes it."""
    assert (DOCS / name).read_text(encoding="utf-8") == pages()[name]


def test_the_pages_are_written_into_a_folder(tmp_path: Path) -> None:
    """The command writes every page, and without a folder says how to use it."""
    assert main([str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(pages())
    assert main([]) == 2


def test_importing_the_contract_is_cheap() -> None:
    """The front door needs attrs and the standard library; cattrs waits for the first job."""
    code = (
        "import sys; before = set(sys.modules); import itk_schema; "
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    foreign = {name for name in loaded if name.strip("_") not in sys.stdlib_module_names}
    foreign = {name for name in foreign if name not in sys.stdlib_module_names}
    assert foreign == {"attr", "attrs", "itk_schema"}
