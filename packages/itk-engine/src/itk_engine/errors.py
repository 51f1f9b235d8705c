"""Says what can go wrong inside the engine, with the facts a caller needs."""

from pathlib import Path

from attrs import define


class EngineError(Exception):
    """Everything that the engine raises on purpose."""


@define
class MissingWeightsError(EngineError):
    """A checkpoint file that is needed does not exist."""

    path: Path
    what: str = "checkpoint file"

    def __str__(self) -> str:
        return f"{self.what} not found: {self.path}"


@define
class MissingSynthesiserError(EngineError):
    """A package or library that speaks text is not installed."""

    what: str
    advice: str = "pip install 'itk-engine[tts]'"

    def __str__(self) -> str:
        return f"{self.what} is not installed; {self.advice}"


@define
class WeightsMismatchError(EngineError):
    """A checkpoint file does not fit the model it claims to be."""

    file: Path
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()  # "name: needed [4, 4], came [4, 5]"

    def __str__(self) -> str:
        kinds = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "of another shape": self.misshapen,
        }
        parts = [
            f"{len(names)} {kind} ({_first_few(names)})" for kind, names in kinds.items() if names
        ]
        return f"{self.file} does not fit the model: " + "; ".join(parts)


@define
class WeightsUnreadableError(EngineError):
    """A checkpoint file exists and cannot be read as what it should be."""

    file: Path
    why: str

    def __str__(self) -> str:
        return f"{self.file} cannot be read: {self.why}"


@define
class SpeechTooShortError(EngineError):
    """The speech is too short to measure its loudness or to drive one frame."""

    seconds: float
    needed_seconds: float
    speech: str = "speech"

    def __str__(self) -> str:
        return (
            f"{self.speech} is {self.seconds:.2f} s long; "
            f"at least {self.needed_seconds:.2f} s is needed"
        )


@define
class OutOfMemoryError(EngineError):
    """The device ran out of memory; the advice names what to change."""

    device: str
    advice: str
    during: str = "generation"

    def __str__(self) -> str:
        return f"{self.device} ran out of memory during {self.during}; {self.advice}"


@define
class LostFollowerError(EngineError):
    """A process that was to share the work on another device ended before it was ready."""

    device: str
    why: str

    def __str__(self) -> str:
        return f"the process on {self.device} that was to share the work did not start: {self.why}"


@define
class NotFiniteError(EngineError):
    """A latent or a picture holds NaN or infinity, so there is nothing to show."""

    chunk: int
    step: int | None
    advice: str = "check the weights, the LoRA scales and the guidance scales"
    what: str = "latent"

    def __str__(self) -> str:
        where = f"chunk {self.chunk}" + ("" if self.step is None else f", step {self.step}")
        return f"the {self.what} is not finite in {where}; {self.advice}"


@define
class UnsupportedFeatureError(EngineError):
    """The request asks for something that this engine does not do."""

    field: str
    why: str

    def __str__(self) -> str:
        return f"{self.field}: {self.why}"


@define
class InvalidRequestError(EngineError):
    """A request's value cannot be generated from."""

    field: str
    needed: str
    came: str

    def __str__(self) -> str:
        return f"{self.field}: needed {self.needed}, got {self.came}"


def _first_few(names: tuple[str, ...], count: int = 3) -> str:
    shown = ", ".join(names[:count])
    return shown if len(names) <= count else f"{shown}, ..."
