"""Turns what a person wrote into the states that the transformer listens to."""

import html
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from itk_engine.errors import MissingWeightsError, WeightsUnreadableError

from .text import TextEncoder

TEXT_TOKENS = 512  # the published encoder was trained on prompts of at most this many tokens


# Text to token ids, the closing </s> included.
Tokenize: TypeAlias = Callable[[str], list[int]]


def clean_prompt(prompt: str) -> str:
    """Mend encoding errors and HTML entities; make every run of white space one space."""
    import ftfy

    mended = html.unescape(html.unescape(ftfy.fix_text(prompt)))
    return " ".join(mended.split())


def read_tokenizer(folder: Path, *, tokens: int = TEXT_TOKENS) -> Tokenize:
    """Read the tokenizer that lies in a checkpoint's folder; longer texts are cut to `tokens`.

    Raises:
        MissingWeightsError: the folder does not exist.
        WeightsUnreadableError: what lies in it is no tokenizer.
    """
    if not folder.is_dir():
        raise MissingWeightsError(path=folder, what="tokenizer, where CKPT_DIR points to,")
    if (folder / "tokenizer.json").is_file():
        return _whole_tokenizer(folder / "tokenizer.json", tokens)
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # a tokenizer's own code may raise anything
        raise _unreadable(folder, error) from error
    return lambda text: tokenizer(text, truncation=True, max_length=tokens)["input_ids"]


def _whole_tokenizer(file: Path, tokens: int) -> Tokenize:
    # The file says everything; importing the larger library around it takes seconds.
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library has no narrower one
        raise _unreadable(file, error) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(tokens)
    return lambda text: tokenizer.encode(text).ids


def _unreadable(file: Path, error: Exception) -> WeightsUnreadableError:
    words = str(error).strip() or type(error).__name__
    return WeightsUnreadableError(file=file, why=f"it is no tokenizer: {words.splitlines()[0]}")


class PromptEncoder:
    """A tokenizer and an encoder that remember the prompts they have seen."""

    def __init__(
        self,
        tokenize: Tokenize,
        model: TextEncoder,
        *,
        remembered: int = 64,
    ) -> None:
        self.model = model
        self._tokenize = tokenize
        self._remembered = remembered
        self._states: OrderedDict[str, Tensor] = OrderedDict()

    def knows(self, prompt: str) -> bool:
        """Whether the prompt's states are remembered, so that the model is not needed."""
        return clean_prompt(prompt) in self._states

    @torch.inference_mode()
    def encode(self, prompt: str) -> Tensor:
        """Return the states [n, dim] of the prompt's n tokens, on the CPU, in the model's dtype."""
        text = clean_prompt(prompt)
        if text not in self._states:
            self._states[text] = self._compute(text)
            if len(self._states) > self._remembered:
                self._states.popitem(last=False)
        self._states.move_to_end(text)
        return self._states[text]

    def _compute(self, text: str) -> Tensor:
        # Padding would change nothing: nobody may look at it and its states are cut off.
        weight = self.model.token_embedding.weight
        ids = torch.tensor([self._tokenize(text)], device=weight.device)
        return self.model(ids)[0].cpu()
