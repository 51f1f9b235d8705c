"""The page: its form from the catalog, and a job from the button to the video."""

import asyncio
from pathlib import Path

import gradio as gr
import pytest

from itk_client import ConfigError
from itk_client.testing import FakeEndpoint, reply, served
from itk_gradio import PageSettings, build_page, events, words
from itk_gradio.app import shown
from itk_gradio.form import build_form, said, shown_parameters
from itk_schema import PARAMETERS


@pytest.fixture(scope="module")
def form():
    """A form outside of any page, made inside a loop: elsewhere gradio leaves loops of its own."""

    async def made():
        with gr.Blocks(analytics_enabled=False):
            return build_form()

    return asyncio.run(made())


@pytest.fixture
def media(tmp_path):
    """A picture and speech on this disk."""
    (tmp_path / "face.png").write_bytes(b"png")
    (tmp_path / "s.wav").write_bytes(b"wav")
    return str(tmp_path / "face.png"), str(tmp_path / "s.wav")


@pytest.fixture
def running():
    """A fake endpoint over real HTTP, and the settings of a person who uses it."""
    endpoint = FakeEndpoint()
    endpoint.takes_uploads = True
    with served(endpoint) as base_url:
        yield endpoint, PageSettings(base_url=base_url).for_person("", "")


def values(form, media, **changes):
    """What the widgets of a form hold."""
    portrait, speech = media
    held = {
        "portrait": portrait,
        "dub": None,
        "speech": speech,
        "second_speech": None,
        "prompt": "hi",
        "preset": "draft",
        **{name: widget.value for name, widget in form.parameters.items()},
        **changes,
    }
    return tuple(held.values())


def test_the_form_is_the_catalog(form):
    """Every parameter with a widget kind has one, with its help and its range."""
    assert list(form.parameters) == [
        entry.name for group in words.GROUPS for entry in shown_parameters() if entry.group == group
    ]
    missing = {entry.name for entry in PARAMETERS} - set(form.parameters)
    assert missing == {entry.name for entry in PARAMETERS if entry.type.name == "list"}
    for entry in shown_parameters():
        widget = form.parameters[entry.name]
        assert widget.info == entry.help
        if isinstance(widget, gr.Number):
            assert (widget.minimum, widget.maximum) == (entry.minimum, entry.maximum)


def test_untouched_widgets_say_nothing(form, media):
    """A job from a fresh form has only what a person must give."""
    job = form.job(values(form, media))
    assert set(job) == {"prompt", "cond_video", "cond_audio", "preset"}


def test_touched_widgets_speak(form, media):
    """Set widgets arrive as the wire's types."""
    touched = values(form, media, sample_steps=8, use_apg="off", size="infinitetalk-720")
    job = form.job(touched)
    assert (job["sample_steps"], job["use_apg"], job["size"]) == (8, False, "infinitetalk-720")
    assert said({"use_teacache": "on", "negative_prompt": ""}) == {"use_teacache": True}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"portrait": None}, words.NO_PICTURE),
        ({"speech": None}, words.NO_SPEECH),
        ({"dub": "/x.mp4"}, words.TWO_PICTURES),
    ],
)
def test_what_is_missing_is_said(form, media, changes, message):
    """Without a picture or speech there is no job, and a sentence says why."""
    with pytest.raises(ValueError, match=message):
        form.job(values(form, media, **changes))


def follow(view):
    """Every view of a job until it is no more followed."""
    views = [view]
    while view.run is not None:
        view = events.look(view.run, view)
        views.append(view)
    return views


def test_a_job_from_the_button_to_the_video(form, media, running):
    """The page submits once, shows rising progress, and ends with the files."""
    endpoint, settings = running
    views = follow(events.submit(settings, form.job(values(form, media))))
    assert len(endpoint.jobs) == 1
    assert [view.pct for view in views] == sorted(view.pct for view in views)
    assert views[-1].stage == words.DONE
    assert len(views[-1].files) == 3
    assert Path(views[-1].video).read_bytes() == endpoint.files["video.mp4"]
    assert views[-1].details["note"] == words.TINY


def test_a_cancelled_job(form, media, running):
    """Cancelling is asked for, shown, and followed to its end."""
    endpoint, settings = running
    endpoint.script = [{"status": "IN_QUEUE"}]
    view = events.submit(settings, form.job(values(form, media)))
    view = events.cancel(view.run, view)
    assert view.stage == words.CANCELLING
    assert follow(view)[-1].stage == words.CANCELLED


def test_trouble_is_text(form, media, running):
    """A refused key and an invalid job are shown as sentences, without the key."""
    endpoint, settings = running
    endpoint.faults = [reply(404, {}), reply(401, {})]
    view = events.submit(settings, form.job(values(form, media)))
    assert "API key" in view.trouble
    assert view.run is None
    view = events.submit(settings, form.job(values(form, media, prompt=" ")))
    assert "input.prompt" in view.trouble


def test_looks_become_rarer(form, media, running):
    """The timer follows the page's cadence: 2, 5, then 10 seconds."""
    endpoint, settings = running
    endpoint.script = [{"status": "IN_QUEUE"}]
    view = events.submit(settings, form.job(values(form, media)), now=0)
    pauses = [events.look(view.run, view, now=age).pause_seconds for age in (1, 61, 601)]
    assert pauses == [2, 5, 10]


async def test_a_view_fills_every_widget():
    """What is shown has one value for each output of the page's events."""
    page = build_page(PageSettings(endpoint_id="e"))
    outputs = {len(one.outputs) for one in page.fns.values()}
    assert outputs == {len(shown(events.View()))}
    assert all(one.api_visibility == "private" for one in page.fns.values())


def test_the_operators_key_is_for_this_machine_only():
    """Where the page is open to others, everyone brings a key."""
    env = {"RUNPOD_API_KEY": "secret", "ITK_ENDPOINT_ID": "e"}
    assert PageSettings.from_environment(env).for_person("", "").api_key == "secret"
    shared = PageSettings.from_environment({**env, "ITK_PAGE_HOST": "0.0.0.0"})  # noqa: S104
    with pytest.raises(ConfigError, match="API key"):
        shared.for_person("", "")
    assert "secret" not in repr(PageSettings.from_environment(env))
    with pytest.raises(ConfigError, match="ITK_PAGE_PORT"):
        PageSettings.from_environment({"ITK_PAGE_PORT": "many"})
