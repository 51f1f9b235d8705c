"""Turns what a person wrote into the states that the transformer listens to."""

import html
from collections import OrderedDict
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from itk_engine.errors import MissingWeightsError

from .text import TextEncoder

TEXT_TOKENS = 512  # the published encoder was trained on prompts of at most this many tokens

# The published pipeline's negative prompt, which an empty one stands for.
DEFAULT_NEGATIVE_PROMPT = (
    "bright tones, overexposed, static, blurred details, subtitles, style, works, paintings, "
    "images, static, overall gray, worst quality, low quality, JPEG compression residue, ugly, "
    "incomplete, extra fingers, poorly drawn hands, poorly drawn faces, deformed, disfigured, "
    "misshapen limbs, fused fingers, still picture, messy background, three legs, many people in "
    "the background, walking backwards"
)


class Tokenizer(Protocol):
    """What is needed of a tokenizer: text to token ids."""

    def __call__(self, text: str, **options: Any) -> Any:
        """Return a mapping whose "input_ids" are the ids of the text."""
        ...


def clean_prompt(prompt: str) -> str:
    """Mend encoding errors and HTML entities; make every run of white space one space."""
    import ftfy

    mended = html.unescape(html.unescape(ftfy.fix_text(prompt)))
    return " ".join(mended.split())


def read_tokenizer(folder: Path) -> Tokenizer:
    """Read the tokenizer that lies in a checkpoint's folder, without any network.

    Raises:
        MissingWeightsError: the folder does not exist.
    """
    if not folder.is_dir():
        raise MissingWeightsError(path=folder, what="tokenizer folder")
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    return tokenizer


class PromptEncoder:
    """A tokenizer and an encoder that remember the prompts they have seen."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        model: TextEncoder,
        *,
        tokens: int = TEXT_TOKENS,
        remembered: int = 64,
    ) -> None:
        self.model = model
        self._tokenizer = tokenizer
        self._tokens = tokens
        self._remembered = remembered
        self._states: OrderedDict[str, Tensor] = OrderedDict()

    def knows(self, prompt: str) -> bool:
        """Whether the prompt's states are remembered, so that the model is not needed."""
        return clean_prompt(prompt) in self._states

    @torch.inference_mode()
    def encode(self, prompt: str) -> Tensor:
        """Return the states [n, dim] of the prompt's n tokens, on the CPU, in the model's dtype.

        Longer prompts are cut to the encoder's limit.
        """
        text = clean_prompt(prompt)
        if text not in self._states:
            self._states[text] = self._compute(text)
            if len(self._states) > self._remembered:
                self._states.popitem(last=False)
        self._states.move_to_end(text)
        return self._states[text]

    def _compute(self, text: str) -> Tensor:
        encoded = self._tokenizer(
            text, truncation=True, max_length=self._tokens, add_special_tokens=True
        )
        # Padding would change nothing: nobody may look at it and its states are cut off.
        weight = self.model.token_embedding.weight
        ids = torch.tensor([encoded["input_ids"]], device=weight.device)
        return self.model(ids)[0].cpu()
