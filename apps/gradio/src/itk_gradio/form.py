"""Widgets made from the catalog, and what they say as a job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from attrs import frozen

from itk_schema import PARAMETERS, PRESETS, Parameter

from . import words

if TYPE_CHECKING:
    from collections.abc import Mapping

SHOWN_TYPES = ("integer", "number", "boolean", "text", "choice")
"""Kinds of parameters that have a widget; lists do not, yet."""


@frozen(kw_only=True)
class Form:
    """The widgets of a job, in the order in which their values arrive."""

    portrait: gr.Image
    dub: gr.Video
    speech: gr.Audio
    second_speech: gr.Audio
    prompt: gr.Textbox
    preset: gr.Dropdown
    parameters: dict[str, gr.components.Component]

    def widgets(self) -> list[gr.components.Component]:
        """All widgets, as inputs of an event."""
        fixed = [self.portrait, self.dub, self.speech, self.second_speech, self.prompt, self.preset]
        return [*fixed, *self.parameters.values()]

    def job(self, values: tuple[Any, ...]) -> dict[str, Any]:
        """The job that the values of these widgets, in their order, ask for.

        Raises:
            ValueError: when the picture or the speech is missing.
        """
        portrait, dub, speech, second_speech, prompt, preset, *rest = values
        if not portrait and not dub:
            raise ValueError(words.NO_PICTURE)
        if portrait and dub:
            raise ValueError(words.TWO_PICTURES)
        if not speech:
            raise ValueError(words.NO_SPEECH)
        people = {"person1": Path(speech)}
        if second_speech:
            people["person2"] = Path(second_speech)
        job: dict[str, Any] = {
            "prompt": prompt or "",
            "cond_video": Path(portrait or dub),
            "cond_audio": people,
        }
        if preset and preset != words.PRESET_NONE:
            job["preset"] = preset
        return job | said(dict(zip(self.parameters, rest, strict=True)))


def said(values: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a person has set, as the wire wants them."""
    by_name = {entry.name: entry for entry in PARAMETERS}
    job = {name: _value(by_name[name], value) for name, value in values.items()}
    return {name: value for name, value in job.items() if value is not None}


def build_form() -> Form:
    """Lay the widgets out where they are called for."""
    with gr.Row():
        with gr.Column():
            portrait = gr.Image(label=words.PORTRAIT, type="filepath", elem_id="portrait")
            dub = gr.Video(label=words.DUB, elem_id="dub")
        with gr.Column():
            speech = gr.Audio(label=words.SPEECH, type="filepath", elem_id="speech")
            second = gr.Audio(label=words.SECOND_SPEECH, type="filepath", elem_id="second-speech")
    prompt = gr.Textbox(label=words.PROMPT, placeholder=words.PROMPT_EXAMPLE, elem_id="prompt")
    preset = gr.Dropdown(
        label=words.PRESET,
        choices=[words.PRESET_NONE, *PRESETS],
        value=words.PRESET_NONE,
        info=" ".join(f"{name}: {one.help}" for name, one in PRESETS.items()),
        elem_id="preset",
    )
    parameters: dict[str, gr.components.Component] = {}
    for group, title in words.GROUPS.items():
        entries = [one for one in shown_parameters() if one.group == group]
        if entries:
            with gr.Accordion(title, open=False):
                parameters |= {entry.name: widget_for(entry) for entry in entries}
    return Form(
        portrait=portrait,
        dub=dub,
        speech=speech,
        second_speech=second,
        prompt=prompt,
        preset=preset,
        parameters=parameters,
    )


def shown_parameters() -> tuple[Parameter, ...]:
    """The catalog's entries that have a widget."""
    return tuple(entry for entry in PARAMETERS if entry.type.name in SHOWN_TYPES)


def widget_for(entry: Parameter) -> gr.components.Component:
    """The widget of one parameter; left alone it says nothing."""
    facts: dict[str, Any] = {
        "label": entry.name.replace("_", " "),
        "info": entry.help,
        "elem_id": f"parameter-{entry.name}",
    }
    if entry.type.name == "boolean":
        return gr.Dropdown(choices=list(words.ON_OFF), value=words.UNSAID, **facts)
    if entry.type.name == "choice":
        return gr.Dropdown(choices=[words.UNSAID, *entry.choices], value=words.UNSAID, **facts)
    if entry.type.name in {"integer", "number"}:
        return gr.Number(
            value=None,
            minimum=entry.minimum,
            maximum=entry.maximum,
            precision=0 if entry.type.name == "integer" else None,
            placeholder=_placeholder(entry),
            **facts,
        )
    return gr.Textbox(value="", placeholder=_placeholder(entry), **facts)


def _placeholder(entry: Parameter) -> str:
    return words.UNSAID if entry.default is None else str(entry.default)


def _value(entry: Parameter, value: Any) -> Any:
    if value is None or value in ("", words.UNSAID):
        return None
    if entry.type.name == "boolean":
        return words.ON_OFF.get(value)
    return value
