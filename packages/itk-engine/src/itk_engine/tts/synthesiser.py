"""What a voice must be able to do, whoever lends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from itk_media import Samples


class Synthesiser(Protocol):
    """Speaks text with voices that have names; used from one thread at a time."""

    @property
    def name(self) -> str:
        """Whose voices these are, for people."""
        ...

    @property
    def sample_rate(self) -> int:
        """Samples a second of everything it says."""
        ...

    @property
    def voices(self) -> tuple[str, ...]:
        """Names of the voices, sorted."""
        ...

    def say(
        self, text: str, *, voice: str, language: str | None = None, speed: float = 1.0
    ) -> Iterator[Samples]:
        """Yield one line of text as mono float32 [N], piece by piece.

        `voice` is one of `voices`. `language` is a tag such as en-us; None: the voice's own.
        `speed` 1 is the voice's own pace, 2 twice as fast. Text without anything to say
        yields nothing. InvalidRequestError names a language that the voices cannot speak.
        """
        ...
