"""Speaks the text of a job, where the operator offers a synthesiser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .inputs import Heard, require_enough, silent_speeches, wanted_part
from .weights import WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from itk_schema import JobInput, Parameters

    from .port import Synthesiser
    from .settings import Settings

STAND_IN_WARNING = (
    "spoken by espeak-ng, which stands in for Kokoro and sounds like a machine; "
    "the endpoint needs KOKORO_DIR for the real voices"
)
NO_ORDER_WARNING = 'audio_type "add" has no effect: a dialogue takes turns by itself'


def load_synthesiser(settings: Settings) -> Synthesiser | None:
    """The synthesiser that the settings ask for, ready to speak; None where they ask for none.

    Raises:
        WeightsError: ITK_TTS asks for Kokoro and no folder is named.
        itk_engine.EngineError: the package, the model or its voices are not there.
    """
    wanted = settings.tts
    if wanted == "auto":
        wanted = "kokoro" if settings.kokoro_dir else "off"
    if wanted == "off":
        return None
    if wanted == "espeak":
        from itk_engine.tts import EspeakSynthesiser

        return EspeakSynthesiser.load()
    if settings.kokoro_dir is None:
        message = "KOKORO_DIR is not set; ITK_TTS kokoro needs it"
        raise WeightsError(message)
    from itk_engine.tts import KokoroSynthesiser

    return KokoroSynthesiser.load(settings.kokoro_dir)


def say_aloud(
    job: JobInput,
    parameters: Parameters,
    synthesiser: Synthesiser | None,
    *,
    check: Callable[[], None],
    path: str,
) -> Heard:
    """What a job's text sounds like, cut to the part that the job wants.

    `check` runs between the pieces and may raise.

    Raises:
        itk_engine.InvalidRequestError: the voice, the language or the text cannot be spoken.
        UnusableInputError: what is left is shorter than 0.4 s.
    """
    from itk_engine.tts import speak

    assert synthesiser is not None  # noqa: S101  require_available saw to it
    assert job.tts_audio is not None  # noqa: S101  parse_input: one of the two
    spoken = speak(job.tts_audio, synthesiser, check=check, path=f"{path}.tts_audio")
    require_enough(spoken.track.duration_seconds, path=f"{path}.tts_audio")
    start, end, cut = wanted_part(spoken.track.duration_seconds, parameters, path=path)
    speeches = tuple(speech.cut(start, end) for speech in spoken.speeches)
    warnings = (*cut, *silent_speeches(speeches, field="tts_audio: person"))
    if synthesiser.name == "espeak-ng":
        warnings = (*warnings, STAND_IN_WARNING)
    if job.audio_type == "add":
        warnings = (*warnings, NO_ORDER_WARNING)
    return Heard(
        speeches=speeches,
        track=spoken.track.cut(start, end),
        warnings=warnings,
        loudness="keep",
    )
