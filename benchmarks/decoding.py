"""Decoding speed, side by side with CTranslate2 and transformers' Marian.

One set of random weights in all three: a Marian model, copied into ours and converted for CTranslate2.
Every engine reads sources of 12 to 18 tokens (15 where there is one) and writes exactly 20 tokens, the end
token forbidden; the encoder's time is included. Each engine has a process of its own (one that shares ours
changes its threads and memory), and they take turns within a round, so that a drifting machine treats all
alike; medians of rounds are printed. That the engines find the same tokens is printed too.

CTranslate2 is tried in each way that it can use the threads (several for every operation; one; or several
workers with a part of the batch each), and its best way counts.

What differs: Marian has no int8 of its own and stands in float32 beside both.

Usage: python benchmarks/decoding.py [--rounds 5] [--threads 2] [--only tiny,greedy,64,int8] [--json]
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from engines import Engine

from regard.decode.choose import shareable, stepper_for
from regard.decode.parallel import in_shares
from regard.decode.search import Limits, beam_search, greedy
from regard.model.layout import lay_out
from regard.model.mask import Contiguous, Ragged
from regard.model.position import Sinusoidal
from regard.model.presets import ENCODER_DECODER, Size, encoder_decoder
from regard.model.quantize import quantize
from regard.model.transformer import EncoderDecoder
from regard.recipes.bench import ceilings

VOCAB, WRITTEN, BEAM = 8000, 20, 5
PAD, BOS, EOS = 0, 1, 2
Decode = Callable[[list[list[int]]], list[list[int]]]


def marian(size: Size) -> Any:
    """A random Marian model of this size; its first steps are as uneven as a trained model's."""
    from transformers import MarianConfig, MarianMTModel

    config = MarianConfig(
        vocab_size=VOCAB, d_model=size.width, encoder_layers=size.encoder_depth,
        decoder_layers=size.decoder_depth, encoder_attention_heads=size.heads,
        decoder_attention_heads=size.heads, encoder_ffn_dim=size.hidden, decoder_ffn_dim=size.hidden,
        activation_function="relu", scale_embedding=True, dropout=0.0, attention_dropout=0.0,
        pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS, decoder_start_token_id=BOS,
        forced_eos_token_id=None, max_position_embeddings=256, init_std=size.width**-0.5,
    )  # fmt: skip
    torch.manual_seed(1)
    return MarianMTModel(config).eval()


@torch.no_grad()
def ours(peer: Any, size: Size) -> EncoderDecoder:
    """Our model with Marian's weights."""
    position = Sinusoidal(interleaved=False)
    model = encoder_decoder(size, source_vocab=VOCAB, target_vocab=VOCAB, position=position).build().eval()
    model.target.weight.copy_(peer.model.shared.weight)

    def copy_linear(to: Any, *parts: Any) -> None:
        to.weight.copy_(torch.cat([part.weight for part in parts]))
        to.bias.copy_(torch.cat([part.bias for part in parts]))

    for stack, theirs in ((model.encoder, peer.model.encoder), (model.decoder, peer.model.decoder)):
        for block, layer in zip(stack.blocks, theirs.layers, strict=True):
            own = layer.self_attn
            copy_linear(block.attention.qkv, own.q_proj, own.k_proj, own.v_proj)
            copy_linear(block.attention.out, own.out_proj)
            block.attention_residual.norm.load_state_dict(layer.self_attn_layer_norm.state_dict())
            if block.cross is not None:
                cross = layer.encoder_attn
                copy_linear(block.cross.q, cross.q_proj)
                copy_linear(block.cross.kv, cross.k_proj, cross.v_proj)
                copy_linear(block.cross.out, cross.out_proj)
                block.cross_residual.norm.load_state_dict(layer.encoder_attn_layer_norm.state_dict())
            copy_linear(block.feedforward.up, layer.fc1)
            copy_linear(block.feedforward.down, layer.fc2)
            block.feedforward_residual.norm.load_state_dict(layer.final_layer_norm.state_dict())
    return model


def regard_decode(model: EncoderDecoder, beam: int) -> Decode:
    def decode(sources: list[list[int]]) -> list[list[int]]:
        return in_shares(alone, sources, lambda: shareable(model))

    @torch.inference_mode()
    def alone(sources: list[list[int]]) -> list[list[int]]:
        lengths = torch.tensor([len(ids) for ids in sources])
        longest = int(lengths.max())
        source = torch.tensor([ids + [PAD] * (longest - len(ids)) for ids in sources])
        padded = bool((lengths != longest).any())
        at = Ragged.from_lengths(lengths, longest) if padded else Contiguous(0, longest)
        stepper = stepper_for(model, source, at, WRITTEN)
        limits = Limits(BOS, -1, [WRITTEN] * len(sources))
        if beam == 1:
            return greedy(stepper, limits, source.device)
        return [best[0].tokens for best in beam_search(stepper, limits, source.device, width=beam)]

    return decode


def ctranslate2_ways(threads: int) -> list[tuple[int, int]]:
    """Numbers of workers, and of threads each."""
    return [(1, 1)] if threads == 1 else [(1, threads), (1, 1), (threads, 1)]


def ctranslate2_decode(peer: Any, size: Size, beam: int, dtype: str, workers: int, threads: int) -> Decode:
    import ctranslate2
    from ctranslate2.converters.transformers import BartLoader
    from ctranslate2.specs import TransformerSpec

    spec = TransformerSpec.from_config(
        (size.encoder_depth, size.decoder_depth), size.heads, pre_norm=False, layernorm_embedding=False
    )
    loader = BartLoader()
    loader.set_encoder(spec.encoder, peer.model.encoder)
    loader.set_decoder(spec.decoder, peer.model.decoder)
    loader.set_linear(spec.decoder.projection, peer.lm_head)
    names = ["<pad>", "<s>", "</s>", "<unk>", *(str(i) for i in range(4, VOCAB))]
    spec.register_source_vocabulary(names)
    spec.register_target_vocabulary(names)
    spec.config.bos_token, spec.config.eos_token, spec.config.unk_token = "<s>", "</s>", "<unk>"
    spec.config.decoder_start_token = "<s>"
    with tempfile.TemporaryDirectory() as folder:
        spec.validate()
        spec.save(folder)
        engine = ctranslate2.Translator(
            folder, compute_type=dtype, inter_threads=workers, intra_threads=threads, device="cpu"
        )
    index = {name: number for number, name in enumerate(names)}

    def decode(sources: list[list[int]]) -> list[list[int]]:
        found = engine.translate_batch(
            [[names[i] for i in ids] for ids in sources],
            max_batch_size=0 if workers == 1 else -(-len(sources) // workers),
            beam_size=beam,
            length_penalty=0.6,
            min_decoding_length=WRITTEN,
            max_decoding_length=WRITTEN,
            disable_unk=False,
        )
        return [[index[token] for token in one.hypotheses[0]] for one in found]

    return decode


def marian_decode(peer: Any, beam: int) -> Decode:
    @torch.inference_mode()
    def decode(sources: list[list[int]]) -> list[list[int]]:
        longest = max(len(ids) for ids in sources)
        source = torch.tensor([ids + [PAD] * (longest - len(ids)) for ids in sources])
        found = peer.generate(
            input_ids=source, attention_mask=(source != PAD).long(), num_beams=beam, do_sample=False,
            min_new_tokens=WRITTEN, max_new_tokens=WRITTEN, bad_words_ids=None, length_penalty=0.6,
        )  # fmt: skip
        return [row[1:] for row in found.tolist()]

    return decode


def sources(batch: int) -> list[list[int]]:
    torch.manual_seed(2)
    lengths = [15] if batch == 1 else torch.randint(12, 19, (batch,)).tolist()
    return [[*torch.randint(4, VOCAB, (length - 1,)).tolist(), EOS] for length in lengths]


@dataclass(frozen=True)
class Cell:
    """What is measured."""

    size: str
    batch: int
    beam: int
    dtype: str

    @property
    def search(self) -> str:
        return "greedy" if self.beam == 1 else f"beam{self.beam}"


def serve(pipe: Connection, engine: str, threads: int) -> None:
    """An engine's process: takes a cell and gives the tokens found; then, for each number of repeats, gives
    the seconds that one took."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(threads)
    made: dict[str, tuple[Any, EncoderDecoder]] = {}
    decode, batch = None, sources(1)
    while (asked := pipe.recv()) is not None:
        if isinstance(asked, Cell):
            size = replace(ENCODER_DECODER[asked.size], dropout=0.0)
            if asked.size not in made:
                peer = marian(size)
                made = {asked.size: (peer, ours(peer, size))}
            decode, batch = prepare(engine, *made[asked.size], asked, threads), sources(asked.batch)
            pipe.send(decode(batch))
        else:
            if len(batch) == 1:  # the others have emptied the caches
                decode(batch)
            start = time.perf_counter()
            for _ in range(asked):
                decode(batch)
            pipe.send((time.perf_counter() - start) / asked)


def prepare(engine: str, peer: Any, model: EncoderDecoder, cell: Cell, threads: int) -> Decode:
    if engine == "regard":
        model = copy.deepcopy(model)
        return regard_decode(lay_out(quantize(model) if cell.dtype == "int8" else model), cell.beam)
    if engine == "marian":
        return marian_decode(peer, cell.beam)
    workers, each = (int(n) for n in engine.split()[1].split("x"))
    return ctranslate2_decode(peer, replace(ENCODER_DECODER[cell.size]), cell.beam, cell.dtype, workers, each)


def measure(engines: list[Engine], cell: Cell, rounds: int) -> dict[str, float]:
    """Tokens a second of each, medians of rounds in which they take turns."""
    seconds: dict[str, list[float]] = {engine.name: [] for engine in engines}
    for _ in range(rounds):
        for engine in engines:
            seconds[engine.name].append(engine.ask(5 if cell.batch == 1 else 1))
    return {name: cell.batch * WRITTEN / statistics.median(times) for name, times in seconds.items()}


def agreement(a: list[list[int]], b: list[list[int]]) -> float:
    return sum(x == y for x, y in zip(a, b, strict=True)) / len(a)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="", help="words that a cell must have, with commas")
    parser.add_argument("--without-marian", action="store_true", help="leave the slowest peer out")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for title, value, unit in ceilings():
        print(f"{title}: {value:.0f} {unit}")
    rows = list(run(options))
    if options.json:
        print(json.dumps(rows))
    if rows:
        ratios = [row["regard"] / row["ctranslate2"] for row in rows]
        mean = math.exp(statistics.fmean(map(math.log, ratios)))
        won = sum(ratio >= 1 for ratio in ratios)
        print(f"at least CTranslate2 in {won} of {len(ratios)} cells; geometric mean {mean:.2f} x")
        alone = [row["regard"] / row["marian"] for row in rows if row["batch"] == 1 and "marian" in row]
        if alone:
            print(f"at batch 1, from {min(alone):.1f} to {max(alone):.1f} x transformers")


def run(options: argparse.Namespace) -> Any:
    wanted = set(filter(None, options.only.split(",")))
    threads: int = options.threads
    ways = [f"ctranslate2 {workers}x{each}" for workers, each in ctranslate2_ways(threads)]
    names = ["regard", *ways, *([] if options.without_marian else ["marian"])]
    engines = [Engine(serve, name, threads) for name in names]
    print("size batch search  dtype    regard CTranslate2 Marian  ratio  to Marian  same tokens  its ways")
    for values in itertools.product(("tiny", "base"), (1, 64), (1, BEAM), ("float32", "int8")):
        cell = Cell(*values)
        if not wanted <= {cell.size, str(cell.batch), cell.search, cell.dtype}:
            continue
        there = [engine for engine in engines if cell.batch > 1 or not engine.name.endswith(f" {threads}x1")]
        found = {engine.name: engine.ask(cell) for engine in there}  # and warm up
        speed = measure(there, cell, options.rounds)
        same = agreement(found["regard"], found[ways[0]])
        tried = {name.split()[1]: round(value) for name, value in speed.items() if name in ways}
        best, marian_speed = max(tried.values()), speed.get("marian", math.nan)
        yield {**asdict(cell), **speed, "ctranslate2": best, "same": same}
        print(
            f"{cell.size} {cell.batch:5} {cell.search:7} {cell.dtype:8} {speed['regard']:6.0f} {best:11.0f}"
            f" {marian_speed:6.0f} {speed['regard'] / best:6.2f} {speed['regard'] / marian_speed:10.1f}"
            f" {same:12.0%}  {tried}",
            flush=True,
        )
    for engine in engines:
        engine.ask(None)


if __name__ == "__main__":
    assert Path(__file__).name == "decoding.py"
    main()
