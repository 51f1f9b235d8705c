"""The page: its layout, and which button does what."""

from __future__ import annotations

from typing import Any

import gradio as gr
from attrs import frozen

from itk_client import ConfigError

from . import events, words
from .events import View
from .form import build_form
from .settings import PageSettings

MAX_UPLOAD_BYTES = 200 * 1024 * 1024


@frozen(kw_only=True)
class Panel:
    """The widgets that show how a job fares, in the order of `shown`."""

    view: gr.State
    stage: gr.Textbox
    share: gr.Slider
    trouble: gr.Textbox
    video: gr.Video
    files: gr.File
    details: gr.JSON
    submit: gr.Button
    cancel: gr.Button
    timer: gr.Timer

    def widgets(self) -> list[Any]:
        """All of them, as outputs of an event."""
        return [
            self.view,
            self.stage,
            self.share,
            self.trouble,
            self.video,
            self.files,
            self.details,
            self.submit,
            self.cancel,
            self.timer,
        ]


def shown(view: View) -> tuple[Any, ...]:
    """A view as new values of the panel's widgets."""
    is_running = view.run is not None
    return (
        view,
        view.stage,
        view.pct,
        gr.update(value=view.trouble, visible=bool(view.trouble)),
        view.video,
        view.files,
        view.details,
        gr.update(interactive=not is_running),
        gr.update(interactive=is_running),
        gr.Timer(value=view.pause_seconds, active=is_running),
    )


def build_page(settings: PageSettings | None = None) -> gr.Blocks:
    """The whole page, not yet served."""
    page_settings = settings or PageSettings.from_environment()
    with gr.Blocks(title=words.TITLE, analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        gr.Markdown(f"# {words.TITLE}\n{words.INTRODUCTION}")
        with gr.Accordion(words.SETTINGS, open=not page_settings.endpoint_id):
            endpoint_id = gr.Textbox(
                label=words.ENDPOINT_ID, placeholder=page_settings.endpoint_id, elem_id="endpoint"
            )
            api_key = gr.Textbox(
                label=words.API_KEY, type="password", info=words.API_KEY_INFO, elem_id="api-key"
            )
        form = build_form()
        panel = _build_panel()

        def on_submit(endpoint: str, key: str, *values: Any) -> tuple[Any, ...]:
            try:
                person = page_settings.for_person(endpoint, key)
                job = form.job(values)
            except (ValueError, ConfigError) as error:
                return shown(View(trouble=str(error)))
            return shown(events.submit(person, job))

        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        panel.submit.click(
            on_submit,
            inputs=[endpoint_id, api_key, *form.widgets()],
            outputs=panel.widgets(),
            **quiet,
        )
        panel.timer.tick(
            _on_tick, inputs=panel.view, outputs=panel.widgets(), concurrency_limit=None, **quiet
        )
        panel.cancel.click(
            _on_cancel, inputs=panel.view, outputs=panel.widgets(), concurrency_limit=None, **quiet
        )
    return page


def serve(settings: PageSettings | None = None) -> None:
    """Serve the page until interrupted."""
    chosen = settings or PageSettings.from_environment()
    build_page(chosen).queue(default_concurrency_limit=8).launch(
        server_name=chosen.host,
        server_port=chosen.port,
        max_file_size=MAX_UPLOAD_BYTES,
        footer_links=[],
        run_history=False,
        strict_cors=True,
    )


def _build_panel() -> Panel:
    with gr.Row():
        submit = gr.Button(words.SUBMIT, variant="primary", elem_id="submit")
        cancel = gr.Button(words.CANCEL, interactive=False, elem_id="cancel")
    with gr.Row():
        stage = gr.Textbox(label=words.STAGE, interactive=False, elem_id="stage")
        share = gr.Slider(0, 100, label=words.SHARE, interactive=False, elem_id="share")
    # Plain text, never Markdown or HTML: it repeats what others wrote.
    trouble = gr.Textbox(label=words.TROUBLE, visible=False, interactive=False, elem_id="trouble")
    video = gr.Video(label=words.VIDEO, interactive=False, elem_id="result")
    files = gr.File(label=words.FILES, interactive=False, elem_id="files")
    with gr.Accordion(words.DETAILS, open=False):
        details = gr.JSON(elem_id="details")
    return Panel(
        view=gr.State(View()),
        stage=stage,
        share=share,
        trouble=trouble,
        video=video,
        files=files,
        details=details,
        submit=submit,
        cancel=cancel,
        timer=gr.Timer(2.0, active=False),
    )


def _on_tick(view: View) -> tuple[Any, ...]:
    return shown(view if view.run is None else events.look(view.run, view))


def _on_cancel(view: View) -> tuple[Any, ...]:
    return shown(view if view.run is None else events.cancel(view.run, view))
