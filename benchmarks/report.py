"""Writes measurements as JSON and as a table beside those of others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchmarks.peers import SECONDS

if TYPE_CHECKING:
    from pathlib import Path


def write(facts: dict[str, Any], stem: Path) -> None:
    """Write `stem`.json and `stem`.md; called after every measurement, so none is lost."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(table(facts), encoding="utf-8")


def table(facts: dict[str, Any]) -> str:
    """Return the measurements as a Markdown page."""
    about = facts["about"]
    lines = [
        f"# {about['device']}, {about['date']}",
        "",
        f"Commit {about['commit']}, torch {about['torch']}, random weights"
        + (", TINY sizes: not a result" if about["tiny"] else " of the published sizes")
        + ". Medians; see the README for how.",
        "",
        "| measurement | s | peak GiB | reference s | LightX2V bf16 s | LightX2V fp8 s |",
        "|---|---|---|---|---|---|",
    ]
    for name, seconds, peak in _timed(facts["results"]):
        others = SECONDS.get(name, (None, None, None))
        cells = [_number(value) for value in (seconds, peak, *others)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    notes = [f"- {name}: {note}" for name, note in _notes(facts["results"])]
    return "\n".join([*lines, "", *notes, ""])


def _notes(results: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what is no time of its own: errors, plans, milliseconds of parts."""
    notes = []
    for name, value in results.items():
        kept = {
            key: part
            for key, part in value.items()
            if "kernels" not in key and not (isinstance(part, dict) and "seconds" in part)
        }
        if "seconds" not in value and kept:
            notes.append((name, json.dumps(kept)))
        notes += [
            (f"{name}, {inner}", str(part["plan"]))
            for inner, part in value.items()
            if isinstance(part, dict) and "plan" in part
        ]
    return notes


def _timed(results: dict[str, Any]) -> list[tuple[str, float, float]]:
    found = []
    for name, value in results.items():
        if "seconds" in value:
            found.append((name, value["seconds"], value["peak_gib"]))
            continue
        found += [
            (f"{name}, {inner}", part["seconds"], part["peak_gib"])
            for inner, part in value.items()
            if isinstance(part, dict) and "seconds" in part
        ]
    return found


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
