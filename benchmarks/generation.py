"""Generation speed of GPT-2's geometry (124M), side by side with CTranslate2 and transformers.

One set of random weights in all three: a GPT-2 model, copied into ours and converted for CTranslate2. Every
engine reads a prompt of 16 tokens and writes exactly 64 more, greedily, the end token forbidden; a speed is
those 64 over the whole time. Each engine has a process of its own and they take turns within a round;
medians of rounds are printed. CTranslate2 is tried with all threads for every operation and, for a batch,
also with a part of it for each thread; its best way counts.

At batch 1 in float32 every weight is read once a token: the share of that bound, from this machine's measured
reading speed, is printed too.

Usage: python benchmarks/generation.py [--rounds 3] [--threads 2] [--only 1,int8] [--without-transformers]
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch
from engines import Engine

from regard.decode.choose import prompt_stepper_for
from regard.model.attention import AttentionConfig
from regard.model.block import PreNorm
from regard.model.embed import Tokens
from regard.model.feedforward import MLP
from regard.model.init import Scaled
from regard.model.layout import prepared
from regard.model.mask import Causal
from regard.model.position import Learned
from regard.model.stack import StackConfig
from regard.model.transformer import Transformer, TransformerConfig
from regard.recipes.bench import ceilings

VOCAB, WIDTH, DEPTH, HEADS, CONTEXT = 50257, 768, 12, 12, 1024
PROMPT, WRITTEN, END = 16, 64, 50256
Generate = Callable[[list[list[int]]], list[list[int]]]


def shrink() -> None:
    """Toy sizes, to see whether everything runs."""
    globals().update(VOCAB=101, WIDTH=24, DEPTH=2, HEADS=2, CONTEXT=96, WRITTEN=3, END=100)


def gpt2(**rates: float) -> Any:
    """`rates`: of dropout, as its configuration calls them."""
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"n_embd": WIDTH, "n_layer": DEPTH, "n_head": HEADS, "n_positions": CONTEXT}
    ends = {"bos_token_id": END, "eos_token_id": END}
    torch.manual_seed(1)
    return GPT2LMHeadModel(GPT2Config(vocab_size=VOCAB, **sizes, **ends, **rates)).eval()


def config() -> TransformerConfig:
    """GPT-2's geometry."""
    stack = StackConfig(
        WIDTH,
        DEPTH,
        AttentionConfig(HEADS),
        MLP(4 * WIDTH, activation="gelu-tanh"),
        mask=Causal(),
        position=Learned(CONTEXT),
        placement=PreNorm(),
        dropout=0.0,
    )
    return TransformerConfig(Tokens(VOCAB, scale=False), stack, init=Scaled())


@torch.no_grad()
def ours(peer: Any) -> Transformer:
    """Our model with GPT-2's weights."""
    model = config().build().eval()
    body = peer.transformer
    model.embed.weight.copy_(body.wte.weight)
    next(model.stack.position.parameters()).copy_(body.wpe.weight)
    model.stack.final_norm.load_state_dict(body.ln_f.state_dict())
    for block, layer in zip(model.stack.blocks, body.h, strict=True):
        part: Any = block
        linears = (part.attention.qkv, part.attention.out, part.feedforward.up, part.feedforward.down)
        theirs = (layer.attn.c_attn, layer.attn.c_proj, layer.mlp.c_fc, layer.mlp.c_proj)
        for linear, conv in zip(linears, theirs, strict=True):
            linear.weight.copy_(conv.weight.t())
            linear.bias.copy_(conv.bias)
        part.attention_residual.norm.load_state_dict(layer.ln_1.state_dict())
        part.feedforward_residual.norm.load_state_dict(layer.ln_2.state_dict())
    return model


def regard_generate(peer: Any, dtype: str, device: str = "cpu") -> Generate:
    model: Any = prepared(ours(peer), torch.device(device), dtype)

    @torch.inference_mode()
    def generate(prompts: list[list[int]]) -> list[list[int]]:
        stepper = prompt_stepper_for(model, prompts, PROMPT + WRITTEN)
        tokens = torch.tensor([ids[-1] for ids in prompts], device=device)
        found = []
        for _ in range(WRITTEN):
            logits = stepper.step(tokens)
            logits[:, END] = -math.inf
            tokens = logits.argmax(-1)
            found.append(tokens)
        return torch.stack(found, 1).tolist()

    return generate


def ctranslate2_generate(peer: Any, dtype: str, workers: int, threads: int) -> Generate:
    import ctranslate2
    from ctranslate2.converters.transformers import GPT2Loader

    spec = GPT2Loader().get_model_spec(peer)
    names = [str(i) for i in range(VOCAB)]
    spec.register_vocabulary(names)
    spec.config.bos_token = spec.config.eos_token = spec.config.unk_token = str(END)
    with tempfile.TemporaryDirectory() as folder:
        spec.validate()
        spec.save(folder)
        engine = ctranslate2.Generator(
            folder, compute_type=dtype, inter_threads=workers, intra_threads=threads, device="cpu"
        )

    def generate(prompts: list[list[int]]) -> list[list[int]]:
        found = engine.generate_batch(
            [[names[i] for i in ids] for ids in prompts],
            max_batch_size=0 if workers == 1 else -(-len(prompts) // workers),
            beam_size=1,
            min_length=WRITTEN,
            max_length=WRITTEN,
            sampling_topk=1,
            include_prompt_in_result=False,
        )
        return [list(one.sequences_ids[0]) for one in found]

    return generate


def transformers_generate(peer: Any, device: str = "cpu") -> Generate:
    @torch.inference_mode()
    def generate(prompts: list[list[int]]) -> list[list[int]]:
        given = torch.tensor(prompts, device=device)
        found = peer.generate(
            given, attention_mask=torch.ones_like(given), do_sample=False, min_new_tokens=WRITTEN,
            max_new_tokens=WRITTEN, pad_token_id=END, eos_token_id=END,
        )  # fmt: skip
        return [row[PROMPT:] for row in found.tolist()]

    return generate


@dataclass(frozen=True)
class Cell:
    """What is measured."""

    batch: int
    dtype: str


def prompts(batch: int) -> list[list[int]]:
    torch.manual_seed(2)
    return torch.randint(0, END, (batch, PROMPT)).tolist()


def serve(pipe: Connection, engine: str, threads: int) -> None:
    """An engine's process: takes a cell and gives the tokens found; then gives the seconds of a repeat."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(threads)
    peer = gpt2()
    generate, given = None, prompts(1)
    while (asked := pipe.recv()) is not None:
        if isinstance(asked, Cell):
            given = prompts(asked.batch)
            if engine == "regard":
                generate = regard_generate(peer, asked.dtype)
            elif engine == "transformers":
                generate = transformers_generate(peer)
            else:
                workers, each = (int(n) for n in engine.split()[1].split("x"))
                generate = ctranslate2_generate(peer, asked.dtype, workers, each)
            pipe.send(generate(given))
        else:
            assert generate is not None
            start = time.perf_counter()
            generate(given)
            pipe.send(time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="", help="words that a cell must have, with commas")
    parser.add_argument("--without-transformers", action="store_true", help="leave the slowest peer out")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    bytes_read = 0.0
    for title, value, unit in ceilings():
        print(f"{title}: {value:.0f} {unit}")
        bytes_read = value if "read" in title else bytes_read
    threads, wanted = options.threads, set(filter(None, options.only.split(",")))
    ways = [f"ctranslate2 1x{threads}", *([f"ctranslate2 {threads}x1"] if threads > 1 else [])]
    names = ["regard", *ways, *([] if options.without_transformers else ["transformers"])]
    engines = [Engine(serve, name, threads) for name in names]
    weights = 4 * sum(p.numel() for p in ours(gpt2()).parameters())
    print("batch dtype    regard CTranslate2 transformers  ratio  same tokens  its ways")
    for batch, dtype in itertools.product((1, 16), ("float32", "int8")):
        cell = Cell(batch, dtype)
        if not wanted <= {str(batch), dtype}:
            continue
        there = [e for e in engines if batch > 1 or not e.name.endswith(f" {threads}x1") or threads == 1]
        found = {engine.name: engine.ask(cell) for engine in there}  # and warm up
        seconds: dict[str, list[float]] = {engine.name: [] for engine in there}
        for _ in range(options.rounds):
            for engine in there:
                seconds[engine.name].append(engine.ask("again"))
        speed = {name: batch * WRITTEN / statistics.median(times) for name, times in seconds.items()}
        tried = {name.split()[1]: round(value) for name, value in speed.items() if name in ways}
        best, other = max(tried.values()), speed.get("transformers", math.nan)
        same = statistics.fmean(a == b for a, b in zip(found["regard"], found[ways[0]], strict=True))
        bound = ""
        if batch == 1 and dtype == "float32" and bytes_read:
            bound = f"  {speed['regard'] * weights / (bytes_read * 1e9):.0%} of what reading allows"
        print(
            f"{batch:5} {dtype:8} {speed['regard']:6.0f} {best:11.0f} {other:12.0f}"
            f" {speed['regard'] / best:6.2f} {same:12.0%}  {tried}{bound}",
            flush=True,
        )
    for engine in engines:
        engine.ask(None)


if __name__ == "__main__":
    main()
