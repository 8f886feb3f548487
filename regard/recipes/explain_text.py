"""From text to input: pieces, ids, lookup, positions; with a small tokenizer made here, or the user's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers
from torch import Tensor

from regard.course.parts import Attention, build, observe, step
from regard.data.tokenizer import Tokenizer
from regard.data.tokenizer_given import Given, GivenTokenizer
from regard.errors import InputError
from regard.insight.parameters import Line
from regard.insight.worked import Computed, Example, Proof, Step, Table, Values, Words
from regard.model.attention import AttentionConfig
from regard.model.block import Block
from regard.model.embed import TokenEmbedding, Tokens
from regard.model.feedforward import MLP
from regard.model.mask import Contiguous
from regard.model.stack import Stack, StackConfig
from regard.model.transformer import EncoderDecoder, Transformer, TransformerConfig

_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "i", "love", "nl", "##p", "you", "the", "a", "##s")
_TEXT = "I love NLP"
_COLUMNS, _MOST = 8, 64


def example(text: str | None = None, run: Path | None = None) -> Example:
    """For `text`, by the tokenizer and table of `run` if there is one."""
    return Example(
        "text-to-input",
        Words("From text to input", "从文本到输入"),
        Words(
            "I love NLP → [CLS] i love nl ##p [SEP] → ids → lookup → + positions.",
            "I love NLP → [CLS] i love nl ##p [SEP] → id → 查表 → 加位置。",
        ),
        lambda text: _make(text, run),
        (Line("text", Words("text", "文本"), text or _TEXT, max(200, len(text or ""))),),
    )


def _small() -> tuple[Tokenizer, Transformer]:
    """A tokenizer of twelve pieces as BERT's, and a model with random weights."""
    vocabulary = {name: i for i, name in enumerate(_PIECES)}
    backend = Backend(models.WordPiece(vocabulary, unk_token=_PIECES[1]))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    given = Given(size=len(_PIECES), pad=0, bos=2, eos=3, unk=1)
    stack = StackConfig(_COLUMNS, 1, AttentionConfig(heads=1), MLP(hidden=16), dropout=0.0)
    model = build(1, lambda: TransformerConfig(Tokens(len(_PIECES)), stack).build())
    return GivenTokenizer(given, backend.to_str()), model


def _loaded(folder: Path) -> tuple[Tokenizer, torch.nn.Module]:
    """Raises: InputError when the run reads no text."""
    from regard.run import load

    run = load(folder, "cpu")  # in float64, which not every device has
    if not run.bundle.tokenizers:
        raise InputError("{where} reads no text; give a run that has a tokenizer", folder)
    names = sorted(run.bundle.tokenizers, key=lambda name: "source" not in name)
    return Tokenizer.from_json(run.bundle.tokenizers[names[0]]), run.model.double().eval()


def _make(text: str, folder: Path | None) -> Computed:
    tokenizer, model = _small() if folder is None else _loaded(folder)
    assert isinstance(model, Transformer | EncoderDecoder)
    inner = tokenizer.encode(text)
    ids = [tokenizer.bos, *inner, tokenizer.eos]
    if not inner or len(ids) > _MOST:
        raise InputError("the {key} has {value} tokens; give 1 to {limit}", "text", len(inner), _MOST - 2)
    pieces = tuple(tokenizer.pieces(ids))
    embed = model.source if isinstance(model, EncoderDecoder) else model.embed
    stack = model.encoder if isinstance(model, EncoderDecoder) else model.stack
    if not isinstance(embed, TokenEmbedding):
        raise InputError("{where} reads no text; give a run that does", folder)
    given, at = torch.tensor([ids]), Contiguous(0, len(ids))
    _, seen = observe(stack, lambda: stack(embed(given)))
    with torch.no_grad():
        vectors = embed(given)
        placed = stack.entry_projection(stack.entry_norm(stack.position.add(vectors, at)))
    positions = stack.position.add(torch.zeros_like(vectors), at)[0]
    columns = tuple(f"d{i}" for i in range(1, min(_COLUMNS, vectors.shape[-1]) + 1))

    def shown(name: Words, x: Tensor) -> Values:
        return Values(name, x[:, : len(columns)], rows=pieces, columns=columns)

    return (
        _tokenization(text, tokenizer, pieces, ids),
        _lookup(embed, shown(Words("vectors", "向量"), vectors[0])),
        _positions(shown(Words("positions", "位置"), positions), shown(Words("input", "输入"), placed[0])),
    ), tuple(_proofs(stack, placed, seen))


def _proofs(stack: Stack, placed: Tensor, seen: Mapping[str, Tensor]) -> Iterator[Proof]:
    """`placed`: (1, T, D), what should enter the stack; `seen`: what passed its taps."""
    yield Proof.of(
        Words("lookup + positions = what the stack takes in", "查表 + 位置 = 堆叠的输入"),
        placed,
        seen["input"],
    )
    q, k, v, heads = (seen[f"blocks.0.attention.{name}"][0] for name in ("q", "k", "v", "heads"))
    plain = type(stack.position).__name__ != "RotaryPart" and not stack.position.biases
    rule, block = stack.config.rules[0], stack.blocks[0]
    assert isinstance(block, Block)
    if plain and rule.kind == "full" and q.shape == k.shape and block.attention.score.standard:
        steps = Attention(q, k, v, scale=block.attention.scale)
        yield Proof.of(
            Words("first attention in steps = fused", "第一层注意力逐步计算 = 融合算子"), steps.out, heads
        )


def _tokenization(text: str, tokenizer: Tokenizer, pieces: Sequence[str], ids: Sequence[int]) -> Step:
    return step(
        Words("Text to pieces", "文本切成词片"),
        f"“{text}” is normalised and cut into pieces that the vocabulary of {tokenizer.size:,} knows; a mark"
        " such as ## says that a piece goes on inside a word. Marks for beginning and end are put around it.",
        f"先把“{text}”规范化，再切成词表（{tokenizer.size:,} 项）里有的词片；##"
        " 之类的记号表示接在词的内部。首尾各加一个标记。",
        Table(
            Words("pieces and ids", "词片与 id"),
            (Words("place", "位置"), Words("piece", "词片"), "id"),
            tuple((str(i), piece, index) for i, (piece, index) in enumerate(zip(pieces, ids, strict=True))),
        ),
    )


def _lookup(embed: TokenEmbedding, vectors: Values) -> Step:
    count, width = len(vectors.columns), embed.weight.shape[1]
    part = Words(f" The first {count} of {width} columns are shown.", f"共 {width} 列，显示前 {count} 列。")
    part = part if count < width else Words("", "")
    return step(
        Words("Ids to vectors", "id 变成向量"),
        "Each id picks a row of the table, times √D where the model says so (here ×"
        f" {embed.factor:.4g}).{part.en}",
        f"每个 id 取出表中的一行，并按模型设定乘以 √D（这里 × {embed.factor:.4g}）。{part.zh}",
        vectors,
        formula="x = E[id]·√D",
    )


def _positions(positions: Values, placed: Values) -> Step:
    return step(
        Words("Plus positions", "加上位置"),
        "What this model adds for each place (nothing, if order enters elsewhere), and the sum: the"
        " input of the first block.",
        "模型为每个位置加上的向量（若顺序从别处进入则为零），以及两者之和：第一个块的输入。",
        positions,
        placed,
        formula="input = x + position",
    )
