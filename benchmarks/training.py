"""Training speed and memory of the tiny translation model, side by side with three other libraries.

All train on the same batches (Multi30k, length-bucketed, 128 pairs), with the same loss (label smoothing
0.1), the same optimizer (torch's fused AdamW) and clipping, on as many threads, each in a process of its own,
in turns, so that a drifting machine treats all alike. Memory is measured in another process for each.

What differs, and cannot be avoided:
- x-transformers has no dropout on the outputs of sublayers; it drops inside attention and feed-forward.
- torch's nn.Transformer and Marian drop embeddings and sublayer outputs, as regard does; nn.Transformer's
  one rate also applies to attention weights and inside the feed-forward, set to 0 here where it can be.

Usage: REGARD_DATA=… python benchmarks/training.py [--rounds 5] [--steps 8] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import torch
import torch.nn.functional as F
from engines import Engine, serve_training, spread, training_speeds
from torch import Tensor, nn

from regard.data.batches import Batches
from regard.data.readers import open_data
from regard.data.store import write_store
from regard.data.tokenizer import BPE
from regard.machine import keep_freed_memory, processor_name
from regard.model.describe import describe
from regard.model.presets import ENCODER_DECODER, encoder_decoder
from regard.tasks.translation import PairBatch, Translation, TranslationConfig

SIZE = ENCODER_DECODER["tiny"]
SMOOTHING = 0.1
ROWS = 128


class Regard(nn.Module):
    """Ours."""

    def __init__(self, task: Translation, dropout: float) -> None:
        super().__init__()
        self.task = task
        self.model = task.configure_model(encoder_decoder(replace(SIZE, dropout=dropout))).build()

    def forward(self, batch: PairBatch) -> Tensor:
        return self.task.loss(self.model, batch)["loss"] / batch.tokens


class Peer(nn.Module):
    """A model of logits; the loss is over the real positions, as ours."""

    def logits(self, batch: PairBatch, allowed: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, batch: PairBatch) -> Tensor:
        places = torch.arange(batch.source.shape[1], device=batch.source.device)
        allowed = places < batch.source_lengths[:, None]
        logits = self.logits(batch, allowed).flatten(0, 1)[batch.real]
        return F.cross_entropy(logits, batch.wanted, label_smoothing=SMOOTHING)


class TorchTransformer(Peer):
    """nn.Transformer with a shared embedding."""

    def __init__(self, task: Translation, dropout: float) -> None:
        super().__init__()
        self.table = nn.Embedding(task.source.size, SIZE.width)
        nn.init.normal_(self.table.weight, std=SIZE.width**-0.5)
        self.drop = nn.Dropout(dropout)
        self.body = nn.Transformer(
            SIZE.width,
            SIZE.heads,
            SIZE.encoder_depth,
            SIZE.decoder_depth,
            SIZE.hidden,
            dropout,
            batch_first=True,
        )
        for module in self.body.modules():
            if isinstance(module, nn.MultiheadAttention):
                module.dropout = 0.0
            if isinstance(module, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
                module.dropout = nn.Identity()  # inside the feed-forward
        self.register_buffer("positions", _positions(512, SIZE.width))

    def logits(self, batch: PairBatch, allowed: Tensor) -> Tensor:
        causal = nn.Transformer.generate_square_subsequent_mask(
            batch.given.shape[1], device=batch.given.device
        )
        hidden = self.body(
            self._embed(batch.source),
            self._embed(batch.given),
            tgt_mask=causal,
            src_key_padding_mask=~allowed,
            memory_key_padding_mask=~allowed,
            tgt_is_causal=True,
        )
        return F.linear(hidden, self.table.weight)

    def _embed(self, ids: Tensor) -> Tensor:
        return self.drop(self.table(ids) * math.sqrt(SIZE.width) + self.positions[: ids.shape[1]])


class Marian(Peer):
    """transformers' MarianMTModel."""

    def __init__(self, task: Translation, dropout: float) -> None:
        super().__init__()
        from transformers import MarianConfig, MarianMTModel

        config = MarianConfig(
            vocab_size=task.source.size,
            d_model=SIZE.width,
            encoder_layers=SIZE.encoder_depth,
            decoder_layers=SIZE.decoder_depth,
            encoder_ffn_dim=SIZE.hidden,
            decoder_ffn_dim=SIZE.hidden,
            encoder_attention_heads=SIZE.heads,
            decoder_attention_heads=SIZE.heads,
            dropout=dropout,
            attention_dropout=0.0,
            activation_dropout=0.0,
            activation_function="relu",
            scale_embedding=True,
            max_position_embeddings=512,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=3,
            decoder_start_token_id=2,
            forced_eos_token_id=None,
        )
        self.body = MarianMTModel(config)

    def logits(self, batch: PairBatch, allowed: Tensor) -> Tensor:
        return self.body(
            input_ids=batch.source, attention_mask=allowed, decoder_input_ids=batch.given, use_cache=False
        ).logits


class XTransformers(Peer):
    """x-transformers' XTransformer."""

    def __init__(self, task: Translation, dropout: float) -> None:
        super().__init__()
        from x_transformers import XTransformer

        ratio = SIZE.hidden / SIZE.width
        self.body = XTransformer(
            dim=SIZE.width,
            enc_num_tokens=task.source.size,
            enc_depth=SIZE.encoder_depth,
            enc_heads=SIZE.heads,
            enc_max_seq_len=512,
            enc_attn_dim_head=SIZE.width // SIZE.heads,
            enc_ff_mult=ratio,
            enc_emb_dropout=dropout,
            enc_ff_dropout=dropout,
            enc_attn_flash=True,
            dec_num_tokens=task.source.size,
            dec_depth=SIZE.decoder_depth,
            dec_heads=SIZE.heads,
            dec_max_seq_len=512,
            dec_attn_dim_head=SIZE.width // SIZE.heads,
            dec_ff_mult=ratio,
            dec_emb_dropout=dropout,
            dec_ff_dropout=dropout,
            dec_attn_flash=True,
            tie_token_emb=True,
        )

    def logits(self, batch: PairBatch, allowed: Tensor) -> Tensor:
        memory = self.body.encoder(batch.source, mask=allowed, return_embeddings=True)
        return self.body.decoder.net(batch.given, context=memory, context_mask=allowed)


CONTENDERS: dict[str, Callable[[Translation, float], nn.Module]] = {
    "regard": Regard,
    "nn.Transformer": TorchTransformer,
    "transformers Marian": Marian,
    "x-transformers": XTransformers,
}


def _positions(length: int, width: int) -> Tensor:
    rates = 10000 ** (-torch.arange(0, width, 2) / width)
    angles = torch.arange(length)[:, None] * rates
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(1)


def data(count: int) -> tuple[Translation, list[PairBatch]]:
    """The task and the first batches of a shuffled epoch."""
    rows = open_data("multi30k-tok", (None, None)).split("train")
    task = Translation.prepare(TranslationConfig(tokenizer=BPE(vocab=8000)), rows)
    with tempfile.TemporaryDirectory() as folder:
        store = write_store(folder, (example for example in task.encode(rows) if example), task.fields)
        plan = Batches(task.costs(store), 10**9, 1, max_rows=ROWS).epoch(0)
        return task, [task.batch(store, chosen) for chosen, _ in zip(plan, range(count), strict=False)]


class Training:
    """A contender with its optimizer."""

    def __init__(self, name: str, task: Translation, dropout: float) -> None:
        torch.manual_seed(1)
        self.model = CONTENDERS[name](task, dropout).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, betas=(0.9, 0.98), fused=True)

    def step(self, batch: PairBatch) -> float:
        loss = self.model(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    def speed(self, batches: list[PairBatch]) -> float:
        """Target tokens a second."""
        started = time.perf_counter()
        for batch in batches:
            self.step(batch)
        return sum(batch.tokens for batch in batches) / (time.perf_counter() - started)


def matrix_ceiling() -> float:
    """GFLOP/s of the matrix products that the model is made of: the best of some of its shapes."""
    best = 0.0
    for m, k, n in (
        (2048, 128, 384),
        (2048, 128, 256),
        (2048, 256, 128),
        (1024, 1024, 1024),
        (512, 128, 8000),
    ):
        a, b = torch.randn(m, k), torch.randn(k, n)
        times = []
        for _ in range(12):
            started = time.perf_counter()
            a @ b
            times.append(time.perf_counter() - started)
        best = max(best, 2e-9 * m * k * n / statistics.median(times))
    return best


def flops(task: Translation, batches: list[PairBatch]) -> float:
    """Matrix-product operations of a training step a target token: forward, and twice that backward."""
    model = task.configure_model(encoder_decoder(SIZE)).build()
    total = 0
    for batch in batches:
        rows, length = batch.source.shape
        total += rows * describe(model, source=length, target=batch.given.shape[1]).flops
    return 3 * total / sum(batch.tokens for batch in batches)


def serve(pipe: Connection, name: str, threads: int) -> None:
    """A contender, of a rate of dropout and so many steps."""
    as_trained(name)

    def prepare(asked: tuple[float, int]) -> tuple[Training, list[PairBatch]]:
        dropout, steps = asked
        task, batches = data(steps)
        return Training(name, task, dropout), batches

    serve_training(pipe, threads, prepare)


def as_trained(name: str) -> None:
    """What `regard train` does for its process, and no peer does."""
    if name == "regard":
        keep_freed_memory()


def memory(name: str, steps: int, threads: int) -> dict[str, float]:
    """Peak resident memory of a process of its own, before and while training, in MB."""
    command = [sys.executable, __file__, "--only", name, "--steps", str(steps), "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def alone(name: str, steps: int) -> None:
    task, batches = data(steps)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of preparing the data
    before = _status("VmRSS")
    as_trained(name)
    Training(name, task, 0.3).speed(batches)
    print(json.dumps({"before": before, "peak": _status("VmHWM")}))


def _status(field: str) -> float:
    """A size of this process as Linux knows it, in MB."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.only:
        alone(options.only, options.steps)
        return
    task, batches = data(options.steps)
    ceiling, work = matrix_ceiling(), flops(task, batches)
    print(f"{processor_name()}, {options.threads} threads, tiny model, {task.source.size:,} pieces")
    engines = [Engine(serve, name, options.threads) for name in CONTENDERS]
    for dropout in (0.3, 0.0):
        print(f"\ndropout {dropout}: target tokens/s, median of {options.rounds} rounds (min–max)")
        speeds = training_speeds(engines, (dropout, options.steps), options.rounds)
        ceiling = max(ceiling, matrix_ceiling())
        for name in speeds:
            line, ratio = spread(name, speeds)
            share = statistics.median(speeds[name]) * work * 1e-9 / ceiling
            print(f"  {name:20} {line}   {share:6.1%} of {ceiling:.0f} GFLOP/s   regard is {ratio:.2f} ×")
    for engine in engines:
        engine.ask(None)
    print("\npeak resident memory while training, MB (before the model was built)")
    for name in CONTENDERS:
        peak = memory(name, options.steps, options.threads)
        print(f"  {name:20} {peak['peak']:8,.0f}  ({peak['before']:,.0f})")


if __name__ == "__main__":
    main()
