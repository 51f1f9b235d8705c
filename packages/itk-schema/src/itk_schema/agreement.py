"""What the fields of a job must agree on, beyond what each accepts alone."""

from typing import Any

from .catalog import BY_NAME
from .checks import Agreement, Checked
from .echo import short
from .job import Batch, JobInput
from .limits import MAX_BATCH_ITEMS, MIN_SPEECH_SECONDS
from .parameters import Parameters
from .presets import PRESETS
from .resolve import resolve_parameters
from .speech import TtsAudio, names_second_speaker
from .storage import OutputConfig

OTHER_NAMES: dict[str, str] = {
    "image": "cond_video",
    "cond_image": "cond_video",
    "video": "cond_video",
    "picture": "cond_video",
    "audio": "cond_audio",
    "speech": "cond_audio",
    "wav": "cond_audio",
    "tts": "tts_audio",
    "text": "tts_audio",
    "steps": "sample_steps",
    "seed": "base_seed",
    "shift": "sample_shift",
    "resolution": "size",
    "frames": "frame_num",
    "num_frames": "frame_num",
    "max_frames": "max_frame_num",
    "n_prompt": "negative_prompt",
    "text_guide_scale": "sample_text_guide_scale",
    "audio_guide_scale": "sample_audio_guide_scale",
    "execution_timeout": "executionTimeout",
    "execution_timeout_seconds": "executionTimeout",
    "ttl_seconds": "ttl",
}
"""Names that other front ends of the model use, and what they are called here."""


def job_agrees(job: Checked) -> None:
    """Note where the fields of one job contradict each other."""
    _one_speech(job)
    speakers = _speakers(job.said)
    if speakers is not None:
        _speaker_fields(job, speakers)
        _regions(job, speakers)
    _boxes(job)
    _lengths(job)
    if "quant_dir" in job.said and "quant" not in job.said:
        _add(job, "quant_dir", needed="quant beside it", came="no quant")


def batch_agrees(batch: Checked) -> None:
    """Note where the items of a batch get in each other's way."""
    listed = batch.said.get("batch")
    items = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    if not items or len(items) != len(batch.said["batch"]):
        return
    seen: dict[object, int] = {}
    for index, item in enumerate(items[:MAX_BATCH_ITEMS]):
        name = item.get("id") or f"item-{index}"
        if not isinstance(name, str):
            continue
        if name in seen:
            came = f"{short(name)}, which is batch[{seen[name]}] already"
            _add(batch, f"batch[{index}].id", needed="an id of its own", came=came)
        seen.setdefault(name, index)
    inheriting = sum(item.get("output_config") is None for item in items)
    if "put_url" in (batch.good.get("output_config") or {}) and inheriting > 1:
        _add(
            batch,
            "output_config.put_url",
            needed="to take one video",
            came=f"{inheriting} items that share it",
            hint="give each item its own output_config.put_url",
        )


def output_config_agrees(config: Checked) -> None:
    """Note where wishes for storage exclude each other."""
    store = config.good.get("store")
    if store in ("volume", "inline"):
        for name in sorted({"bucket", "region"} & config.said.keys()):
            _add(config, name, needed="store s3", came=f"store {store}")
    if config.good.get("playlist"):
        if store == "inline":
            _add(config, "playlist", needed="store s3 or volume", came="store inline")
        if "put_url" in config.said:
            _add(config, "playlist", needed="a store", came="a put_url, which takes one file")


def tts_agrees(tts: Checked) -> None:
    """Note where a dialogue lacks its marks."""
    text = tts.good.get("text")
    if text is None or "human2_voice" not in tts.good:
        return
    if "(s1)" not in text or not names_second_speaker(text):
        _add(
            tts,
            "text",
            needed="marks (s1) and (s2) for the two voices",
            came="text without them",
            hint="write: (s1) How are you? (s2) Fine.",
        )


AGREEMENTS: dict[type[Any], Agreement] = {
    JobInput: job_agrees,
    Batch: batch_agrees,
    OutputConfig: output_config_agrees,
    TtsAudio: tts_agrees,
}


def input_warnings(job: JobInput) -> tuple[str, ...]:
    """Return what is allowed in a job and yet probably not meant, one sentence each."""
    decided = resolve_parameters(job)
    found = list(_without_effect(job, decided))
    if decided.mode == "streaming" and decided.motion_frame % 4 != 1:
        found.append(
            f"motion_frame {decided.motion_frame} is not of the form 4n+1: "
            f"a seam between chunks is possible; {decided.motion_frame // 4 * 4 + 1} has none"
        )
    return tuple(found)


def _without_effect(job: JobInput, decided: Parameters) -> list[str]:
    idle = []
    for name, parameter in BY_NAME.items():
        if parameter.needs is None or getattr(job, name) is None:
            continue
        other, wanted = parameter.needs
        if getattr(decided, other) != wanted:
            shown = str(wanted).lower() if isinstance(wanted, bool) else wanted
            idle.append(f"{name} has no effect without {other} = {shown}")
    return idle


def _add(at: Checked, name: str, *, needed: str, came: str, hint: str = "") -> None:
    at.report.add(f"{at.path}.{name}", needed=needed, came=came, hint=hint)


def _one_speech(job: Checked) -> None:
    given = {"cond_audio", "tts_audio"} & job.said.keys()
    if not given:
        _add(
            job,
            "cond_audio",
            needed="speech here, or text in tts_audio",
            came="neither",
            hint='as {"person1": "https://..."}',
        )
    elif len(given) == 2:
        _add(job, "tts_audio", needed="to be absent beside cond_audio", came="both")


def _speakers(said: dict[str, Any]) -> int | None:
    """Return how many people speak, or None where the speech is too broken to tell."""
    recorded, spoken = said.get("cond_audio"), said.get("tts_audio")
    if isinstance(recorded, dict) and spoken is None:
        return 1 if recorded.get("person2") is None else 2
    if isinstance(spoken, dict) and recorded is None:
        text = spoken.get("text")
        dialogue = isinstance(text, str) and names_second_speaker(text)
        return 2 if dialogue or spoken.get("human2_voice") is not None else 1
    return None


def _speaker_fields(job: Checked, speakers: int) -> None:
    if speakers == 1:
        for name in sorted({"audio_type", "speaker_order"} & job.said.keys()):
            _add(job, name, needed="two speakers", came="one")
    elif "speaker_order" in job.good and job.good.get("audio_type", "para") != "add":
        _add(job, "speaker_order", needed='audio_type "add"', came='audio_type "para"')


def _regions(job: Checked, speakers: int) -> None:
    box, masks = job.said.get("bbox"), job.said.get("masks")
    if isinstance(box, (list, tuple)) and speakers == 2:
        _add(
            job,
            "bbox",
            needed="a box for each of two speakers",
            came="one box",
            hint='as {"person1": [x0, y0, x1, y1], "person2": [x0, y0, x1, y1]}',
        )
    if isinstance(box, dict) and speakers == 1:
        _add(job, "bbox", needed="one box for one speaker", came="boxes of two speakers")
    if isinstance(masks, dict) and (masks.get("person2") is not None) != (speakers == 2):
        both = "a mask for each of two speakers"
        needed, came = (both, "one mask") if speakers == 2 else ("one mask", "two")
        _add(job, "masks.person2", needed=needed, came=came)


def _boxes(job: Checked) -> None:
    if {"bbox", "masks"} <= job.said.keys():
        _add(job, "masks", needed="to be absent beside bbox", came="both")
    box = job.good.get("bbox")
    boxes = {f"bbox.{name}": value for name, value in box.items()} if isinstance(box, dict) else {}
    if isinstance(box, list):
        boxes = {"bbox": box}
    for name, (x0, y0, x1, y1) in boxes.items():
        if x0 >= x1 or y0 >= y1:
            came = f"[{x0}, {y0}, {x1}, {y1}]"
            hint = "the upper left corner comes first, then the lower right"
            _add(job, name, needed="x0 < x1 and y0 < y1", came=came, hint=hint)


def _lengths(job: Checked) -> None:
    decided = _decided(job, "frame_num")
    motion = job.good.get("motion_frame")
    if motion is not None and decided is not None and motion >= decided:
        needed = f"a whole number from 1 to {decided - 1}, less than frame_num"
        _add(job, "motion_frame", needed=needed, came=str(motion))
    start, end = job.good.get("speech_start_seconds", 0.0), job.good.get("speech_end_seconds")
    if end is not None and end - start < MIN_SPEECH_SECONDS:
        needed = f"at least {MIN_SPEECH_SECONDS} s after speech_start_seconds, which is {start:g}"
        _add(job, "speech_end_seconds", needed=needed, came=f"{end:g}")


def _decided(job: Checked, name: str) -> Any:
    """Return a parameter as it will be decided, or None where what was said of it is bad."""
    if name in job.said:
        return job.good.get(name)
    preset = PRESETS.get(job.good.get("preset", ""))
    return preset.values.get(name, BY_NAME[name].default) if preset else BY_NAME[name].default
