"""Writes the pages of docs/ that are made from the contract: parameters, errors, JSON Schema.

Run `python -m itk_schema.reference docs` after a change of the contract.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attrs import NOTHING, Attribute

from .catalog import BY_NAME, PARAMETERS, Parameter
from .checks import needed_words
from .errors import ErrorCode
from .job import Batch, JobInput, Masks, Policy, SpeakerBoxes
from .json_schema import json_schema, result_schema
from .kinds import fields_of, kind_of
from .presets import PRESETS
from .progress import STAGE_PERCENTAGES
from .rules import Group, rule_of, wire_name
from .speech import CondAudio, TtsAudio
from .storage import OutputConfig
from .wire import to_json

_GROUPS: dict[Group, str] = {
    "length": "Length",
    "picture": "Picture",
    "people": "Speech and speakers",
    "sampling": "Sampling",
    "guidance": "Guidance",
    "speed": "Speed",
    "memory": "Memory",
    "weights": "Weights",
}
_CHANGES = {
    "picture": "the picture",
    "speech": "what the model hears",
    "memory": "memory and speed, not the picture",
    "weights": "which weights are used; the endpoint must offer them",
    "output": "what is written around the picture",
}
_OBJECTS: dict[str, type[Any]] = {
    "input.cond_audio": CondAudio,
    "input.tts_audio": TtsAudio,
    "input.bbox, for two speakers": SpeakerBoxes,
    "input.masks": Masks,
    "input.output_config": OutputConfig,
    "policy": Policy,
    "input of a batch": Batch,
}
_MADE = "<!-- Made by `python -m itk_schema.reference docs`, which a test repeats. -->\n"
_JOB_WORDS = """\
A request is `{"input": {...}, "policy": {...}, "webhook": "..."}`. Only `prompt`, `cond_video` and
one of `cond_audio` and `tts_audio` are required in `input`; null counts as not said. Unknown fields
are refused. [job.schema.json](job.schema.json) says the same for programs.

A parameter takes the value that the job gives, else the one of its preset, else its default.
"""
_ERROR_WORDS = """\
A failed job carries `error` with `code`, `message`, `reason` (a finer word), `retryable`,
`at_stage`, `cause_class`, `cause_message` and `hint`. *Retry* below is the usual answer;
`retryable` in the error itself counts. [result.schema.json](result.schema.json) describes every
answer of a worker for programs.
"""
_STAGE_WORDS = """\
Between `generation_started` and `muxing_started` come `chunk_{k}_preprocess`,
`chunk_{k}_sampling_{pct}` and `chunk_{k}_decode` for each chunk, counted from 0, and share 20 to 85
among them. In a batch the percentage is that of the whole batch, and `item_id` and `item_index` say
which item it is about.
"""


def pages() -> dict[str, str]:
    """Return the text of every generated page by its file name."""
    return {
        "parameters.md": parameters_page(),
        "errors.md": errors_page(),
        "job.schema.json": to_json(json_schema(), indent=2) + "\n",
        "result.schema.json": to_json(result_schema(), indent=2) + "\n",
    }


def parameters_page() -> str:
    """Return the Markdown page of everything that a job can say."""
    parts = [
        f"# What a job can say\n\n{_MADE}",
        _JOB_WORDS,
        f"## Presets\n\n{_presets()}",
        f"## The job\n\n{_table(_own_fields())}",
    ]
    for group, title in _GROUPS.items():
        rows = [parameter for parameter in PARAMETERS if parameter.group == group]
        parts.append(f"## {title}\n\n{_parameters(rows)}")
    parts.extend(f"## {title}\n\n{_table(fields_of(cls))}" for title, cls in _OBJECTS.items())
    return "\n".join(parts)


def errors_page() -> str:
    """Return the Markdown page of the error codes and the stages."""
    rows = [
        (
            f"`{code.value}`",
            code.meaning,
            "yes" if code.retryable else "no",
            ", ".join(f"`{stage}`" for stage in code.facts.stages),
            code.hint,
        )
        for code in ErrorCode
    ]
    stages = [(f"`{stage.value}`", f"{pct:g}") for stage, pct in STAGE_PERCENTAGES.items()]
    return "\n".join(
        [
            f"# Errors and stages\n\n{_MADE}",
            _ERROR_WORDS,
            "## Codes\n",
            _markdown(("code", "meaning", "retry", "usual stages", "what to do"), rows),
            "## Stages\n",
            _STAGE_WORDS,
            _markdown(("stage", "percent"), stages),
        ]
    )


def main(arguments: list[str]) -> int:
    """Write every page into the folder that is the only argument."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        sys.stderr.write("usage: python -m itk_schema.reference FOLDER\n")
        return 2
    for name, text in pages().items():
        (Path(arguments[0]) / name).write_text(text, encoding="utf-8")
    return 0


def _own_fields() -> "Iterable[Attribute[Any]]":
    """Return the fields of a job that are no parameters."""
    return (attribute for attribute in fields_of(JobInput) if attribute.name not in BY_NAME)


def _presets() -> str:
    names = list(dict.fromkeys(name for preset in PRESETS.values() for name in preset.values))
    rows = [
        (f"`{preset.name}`", preset.help, *(_shown(preset.values.get(name)) for name in names))
        for preset in PRESETS.values()
    ]
    return _markdown(("preset", "for", *(f"`{name}`" for name in names)), rows)


def _parameters(parameters: Iterable[Parameter]) -> str:
    rows = [
        (
            f"`{parameter.name}`",
            _accepted(parameter),
            _default(parameter),
            parameter.help + _condition(parameter),
            _CHANGES[parameter.kind],
        )
        for parameter in parameters
    ]
    return _markdown(("name", "accepts", "default", "meaning", "changes"), rows)


def _accepted(parameter: Parameter) -> str:
    return needed_words(parameter.type, parameter.rule) + (
        f" ({parameter.unit})" if parameter.unit else ""
    )


def _default(parameter: Parameter) -> str:
    if parameter.name == "negative_prompt":
        return "Wan2.1's own"
    if parameter.name == "sample_shift":
        return "by size"
    return "null" if parameter.default is None else _shown(parameter.default)


def _condition(parameter: Parameter) -> str:
    if parameter.needs is None:
        return ""
    other, wanted = parameter.needs
    return f" Only with `{other}` = `{str(wanted).lower()}`."


def _table(attributes: "Iterable[Attribute[Any]]") -> str:
    rows = []
    for attribute in attributes:
        kind, rule = kind_of(attribute), rule_of(attribute)
        required = "required" if attribute.default is NOTHING else "optional"
        rows.append((f"`{wire_name(attribute)}`", needed_words(kind, rule), required, rule.help))
    return _markdown(("name", "accepts", "", "meaning"), rows)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    shown = list(value) if isinstance(value, tuple) else value
    return f"`{to_json(shown)}`"


def _markdown(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
