"""Lists what the contract offers and this worker does not have yet."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, frozen

from itk_schema import JobInput, Parameters


@frozen(kw_only=True)
class Missing:
    """One field, when it asks for something that is missing, and what to do instead."""

    field: str
    asked: Callable[[JobInput, Parameters], bool]
    instead: str


# Whoever builds a feature deletes its row.
MISSING: tuple[Missing, ...] = (
    Missing(
        field="output_config.playlist",
        asked=lambda job, _: bool(job.output_config and job.output_config.playlist),
        instead="leave it out and wait for the finished video",
    ),
    Missing(
        field="output_config.put_url",
        asked=lambda job, _: bool(job.output_config and job.output_config.put_url),
        instead="use output_config.store volume or inline",
    ),
    Missing(
        field="webhook",
        asked=lambda job, _: job.webhook is not None,
        instead="set the webhook beside input; Runpod calls it when the job ends",
    ),
)
NO_SYNTHESISER = Missing(
    field="tts_audio",
    asked=lambda job, _: job.tts_audio is not None,
    instead="send recorded speech as cond_audio; an endpoint speaks text when it has the extra "
    "itk-worker[tts] and KOKORO_DIR names the folder of Kokoro's weights",
)


@define
class NotAvailableError(Exception):
    """The job is valid and asks for something that this worker does not have."""

    wishes: tuple[tuple[str, str], ...]  # (path, what to do instead)

    def __str__(self) -> str:
        return "\n".join(
            f"{path}: this worker does not have this yet; {instead}"
            for path, instead in self.wishes
        )


def require_available(
    job: JobInput,
    parameters: Parameters,
    *,
    path: str = "input",
    lacking: tuple[Missing, ...] = (),
) -> None:
    """Let a job pass that this worker can do, which lacks more than others where `lacking` says.

    Raises:
        NotAvailableError: names every field that asks for more.
    """
    wishes = tuple(
        (f"{path}.{missing.field}", missing.instead)
        for missing in (*MISSING, *lacking)
        if missing.asked(job, parameters)
    )
    if wishes:
        raise NotAvailableError(wishes)
