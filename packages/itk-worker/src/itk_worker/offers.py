"""Compares the weights that a job names with those that the endpoint has loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, frozen

from itk_schema import PRESETS

if TYPE_CHECKING:
    from itk_schema import JobInput, Parameters


@define
class NotOfferedError(Exception):
    """The job names weights that are not the endpoint's; one sentence for each field."""

    problems: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.problems)


@frozen(kw_only=True)
class Offers:
    """Which weights are loaded besides the base; every job is made with all of them.

    `quant_names` are the words by which a job may ask for the quantised file.
    """

    loras: tuple[str, ...] = ()
    quant: str | None = None  # int8 or fp8
    quant_names: tuple[str, ...] = ()
    adapter: str = ""  # "single", "multi", or nothing where that is not known

    def require(self, job: JobInput, parameters: Parameters, *, path: str = "input") -> None:
        """Let a job pass that names nothing else than what is loaded.

        Raises:
            NotOfferedError: says for each field what the endpoint has.
        """
        problems = []
        if (field := _names_loras(job)) and set(parameters.loras) != set(self.loras):
            came = _listed(parameters.loras)
            if field == "preset":
                came = f"{job.preset}, which needs {came}"
            problems.append(
                f"{path}.{field}: this endpoint has {_listed(self.loras)} merged into its model, "
                f"a job that names LoRAs must name exactly that; got {came}"
            )
        if parameters.quant not in {None, self.quant}:
            problems.append(
                f"{path}.quant: this endpoint has {self.quant or 'no quantised weights'} loaded, "
                f"got {parameters.quant}"
            )
        if parameters.quant_dir is not None and parameters.quant_dir not in self.quant_names:
            has = " or ".join(self.quant_names) or "no quantised weights"
            problems.append(
                f"{path}.quant_dir: this endpoint has {has} loaded, got {parameters.quant_dir}"
            )
        if problems:
            raise NotOfferedError(tuple(problems))

    def warnings(self, job: JobInput) -> tuple[str, ...]:
        """What a result must say about weights that its job did not name."""
        found = []
        if self.loras and not _names_loras(job):
            fitting = [
                p.name for p in PRESETS.values() if p.loras and set(p.loras) == set(self.loras)
            ]
            advice = f"; preset {fitting[0]} fits it" if fitting else ""
            found.append(
                f"made with {_listed(self.loras)}, which this endpoint has merged into its model "
                f"and the job does not name{advice}"
            )
        speech = job.cond_audio
        if self.adapter == "single" and speech is not None and speech.person2 is not None:
            found.append(
                "two speakers with the adapter for one (single): one may move with the other's "
                "speech; the endpoint needs the adapter multi"
            )
        return tuple(found)


def _names_loras(job: JobInput) -> str | None:
    """The field by which a job says which LoRAs it wants; None where it leaves that open."""
    if job.loras is not None:
        return "loras"
    return "preset" if job.preset is not None and PRESETS[job.preset].loras else None


def _listed(names: tuple[str, ...]) -> str:
    """LoRAs by name, for a sentence."""
    return f"LoRA {', '.join(names)}" if names else "no LoRA"
