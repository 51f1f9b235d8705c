"""A prompt becomes states, cleaned, cut to the limit and remembered."""

from pathlib import Path

import pytest
import torch

from itk_engine.conditioning import (
    PromptEncoder,
    TextEncoder,
    TextEncoderConfig,
    clean_prompt,
    read_tokenizer,
)
from itk_engine.errors import MissingWeightsError
from itk_engine.tiny import make_tokenizer

SMALL = TextEncoderConfig(
    vocab_size=300, dim=16, dim_attn=16, dim_ffn=24, num_heads=2, num_layers=2
)


@pytest.mark.parametrize(
    ("prompt", "cleaned"),
    [
        ("  a   man\n\tis talking ", "a man is talking"),
        ("cafÃ© &amp;amp; tea", "café & tea"),
        ("你好\u3000世界", "你好 世界"),
    ],
)
def test_prompts_are_mended(prompt: str, cleaned: str) -> None:
    """Broken encodings, HTML entities and runs of white space are put right."""
    assert clean_prompt(prompt) == cleaned


def test_padding_changes_nothing() -> None:
    """Tokens do not see padding, so that a prompt alone gives the same states."""
    torch.manual_seed(0)
    model = TextEncoder(SMALL)
    ids = torch.randint(3, 300, (1, 9))
    padded = torch.cat([ids, torch.zeros(1, 4, dtype=torch.long)], 1)
    mask = (padded != 0).long()
    torch.testing.assert_close(model(padded, mask)[:, :9], model(ids), rtol=1e-4, atol=1e-5)


def test_order_matters() -> None:
    """Every layer knows which token is where."""
    torch.manual_seed(0)
    model = TextEncoder(SMALL)
    states = model(torch.tensor([[5, 6, 7]]))
    turned = model(torch.tensor([[7, 6, 5]]))
    assert not torch.allclose(states[0, 1], turned[0, 1])


def test_a_prompt_is_encoded_once() -> None:
    """Prompts that differ in white space only are one, and the model works once for it."""
    calls: list[str] = []

    def tokenize(text: str) -> list[int]:
        calls.append(text)
        return [3, 4, 1]

    encoder = PromptEncoder(tokenize, TextEncoder(SMALL), remembered=2)
    assert encoder.encode("a man") is encoder.encode(" a  man ")
    assert encoder.encode("a man").shape == (3, 16)
    assert calls == ["a man"]
    assert encoder.knows("a man")
    for other in ("b", "c"):
        encoder.encode(other)
    assert not encoder.knows("a man")


def test_a_tokenizer_is_read_from_its_folder(tmp_path: Path) -> None:
    """Any text has tokens, the last is </s>, and long ones are cut."""
    make_tokenizer(tmp_path, tokens=64)
    tokenize = read_tokenizer(tmp_path, tokens=8)
    assert tokenize("hé🙂")[-1] == 1
    assert len(tokenize("hé🙂")) == 8
    assert len(tokenize("long enough")) == 8
    assert tokenize("") == [1]


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    """The path and the variable are in the error."""
    with pytest.raises(MissingWeightsError, match=r"CKPT_DIR.*umt5-xxl"):
        read_tokenizer(tmp_path / "google" / "umt5-xxl")


@pytest.mark.long
def test_the_larger_library_reads_the_same_tokens(tmp_path: Path) -> None:
    """Reading the file directly gives what AutoTokenizer gives."""
    from transformers import AutoTokenizer

    make_tokenizer(tmp_path, tokens=64)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    ours = read_tokenizer(tmp_path, tokens=16)
    for text in ("a man is talking", "你好 世界", "x" * 100):
        assert ours(text) == theirs(text, truncation=True, max_length=16)["input_ids"]
