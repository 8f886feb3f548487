"""What is damaged, unsafe or unknown is refused by name, before memory is taken for it."""

from __future__ import annotations

import json
import os
import pickle
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from regard.data.tokenizer import Tokenizer
from regard.errors import CheckpointError, RegardError, TokenizerError
from regard.interop import export_checkpoint, import_checkpoint
from regard.interop.importing import read_checkpoint
from regard.interop.sentencepiece import pieces_of
from tests.interop.families import ALL, V, checkpoint, tokenizer_json, write_tokenizer
from tests.shared import refused

FUZZ = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)
KINDS = ("bert", "gpt2", "qwen3", "t5 gated", "marian")
LOOKING = ("deit", "dinov2")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A good checkpoint of a few families."""
    pytest.importorskip("transformers")
    folders = {name: tmp_path_factory.mktemp("good") for name in KINDS}
    for name, folder in folders.items():
        checkpoint(name, folder)
    return folders


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A folder in memory where there is such a thing: a disk takes a millisecond to empty a file."""
    place = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=place if os.access(place, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def shallow(memory: Path) -> dict[str, Path]:
    """The same with one block, which are read in half the time."""
    pytest.importorskip("transformers")
    folders = {name: memory / name for name in (*KINDS, *LOOKING)}
    for name, folder in folders.items():
        checkpoint(name, folder, depth=1)
    return folders


def changed(good: Path, folder: Path, **keys: Any) -> Path:
    """The checkpoint with some keys of its configuration changed; those that are ... are taken away."""
    folder.mkdir(exist_ok=True)
    for path in good.iterdir():
        if path.name != "generation_config.json":  # which would come before what the configuration says
            (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text("utf-8")) | keys
    config = {name: value for name, value in config.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return folder


def check(folder: Path, **parts: Any) -> None:
    with refused(CheckpointError, **parts):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("bert", "hidden_size", 22),
        ("bert", "hidden_size", 10**9),
        ("bert", "num_hidden_layers", 10**9),
        ("bert", "num_hidden_layers", True),
        ("bert", "num_hidden_layers", 0),
        ("bert", "vocab_size", ...),
        ("bert", "hidden_act", "xielu"),
        ("bert", "layer_norm_eps", -1),
        ("bert", "hidden_dropout_prob", 1.0),
        ("bert", "position_embedding_type", "relative_key"),
        ("bert", "is_decoder", True),
        ("bert", "a_new_idea", 3),
        ("bert", "model_type", "mamba"),
        ("bert", "architectures", ["BertForMultipleChoice"]),
        ("bert", "quantization_config", {"bits": 4}),
        ("bert", "auto_map", {"AutoModel": "evil.py"}),
        ("qwen3", "rope_parameters", {"rope_type": "dynamic", "factor": 0.5, "rope_theta": 100.0}),
        ("qwen3", "rope_parameters", {"rope_type": "proportional", "rope_theta": 100.0}),
        ("qwen3", "rope_parameters", {"rope_type": "longrope", "rope_theta": 100.0}),
        ("qwen3", "rope_parameters", {"rope_type": "linear", "factor": 0.5, "rope_theta": 100.0}),
        ("qwen3", "rope_parameters", {"rope_type": "default", "rope_theta": 100.0, "new": 1}),
        ("qwen3", "rope_parameters", {"full_attention": {"rope_type": "default"}}),
        ("qwen3", "num_key_value_heads", 4),
        ("qwen3", "eos_token_id", [3, -1]),
        ("qwen3", "layer_types", ["full_attention", "sliding_attention"]),
        ("t5 gated", "feed_forward_proj", "gated-gated-gelu"),
        ("t5 gated", "relative_attention_num_buckets", 3),
        ("t5 gated", "is_encoder_decoder", False),
        ("marian", "decoder_start_token_id", None),
        ("marian", "bad_words_ids", [[1, V]]),
        ("marian", "forced_decoder_ids", [[1, 2]]),
        ("marian", "no_repeat_ngram_size", -1),
        ("qwen3", "repetition_penalty", 0),
        ("qwen3", "forced_bos_token_id", 3),
        ("marian", "normalize_embedding", True),
        ("marian", "normalize_before", True),
    ],
)
def test_a_key_is_honoured_or_refused_by_name(
    good: dict[str, Path], tmp_path: Path, name: str, key: str, value: Any
) -> None:
    with refused(CheckpointError) as caught:
        read_checkpoint(changed(good[name], tmp_path, **{key: value}))
    assert key == caught.value.key or str(caught.value.where).endswith(f": {key}")


def rewritten(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_every_weight_is_used_once_or_refused_by_name(good: dict[str, Path], tmp_path: Path) -> None:
    first = "bert.encoder.layer.0.attention.self.query.weight"
    folder = changed(good["bert"], tmp_path / "a")
    check(rewritten(folder, lambda weights: weights.__delitem__(first)), key=first, value=None)
    folder = changed(good["bert"], tmp_path / "b")
    check(rewritten(folder, lambda w: w.update({"bert.extra": torch.ones(3)})), key="bert.extra")
    folder = changed(good["bert"], tmp_path / "c")
    check(
        rewritten(folder, lambda weights: weights.update({first: torch.ones(3, 3)})),
        key=first,
        value="[3, 3]",
    )
    folder = changed(good["bert"], tmp_path / "d")
    whole = torch.ones(21, 21, dtype=torch.long)
    check(rewritten(folder, lambda weights: weights.update({first: whole})), key=first, value="I64")


def test_a_tied_weight_that_differs_is_refused(good: dict[str, Path], tmp_path: Path) -> None:
    folder = changed(good["bert"], tmp_path / "there")
    name = "cls.predictions.decoder.weight"
    rewritten(folder, lambda weights: weights.update({name: torch.ones(V, 21)}))
    with refused(CheckpointError, key=name):
        import_checkpoint(folder, tmp_path / "run", compare=False)


def test_halves_and_names_of_the_first_berts_come_in(good: dict[str, Path], tmp_path: Path) -> None:
    folder = changed(good["bert"], tmp_path / "there")

    def old(weights: dict[str, torch.Tensor]) -> None:
        for name in list(weights):
            weight = weights.pop(name).to(torch.bfloat16)
            name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            )
            weights[name] = weight

    rewritten(folder, old)
    made = import_checkpoint(folder, tmp_path / "run", compare=False)
    assert made.parameters > 0


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("/nowhere/pwned"),))


def test_a_pickle_is_never_opened(good: dict[str, Path], tmp_path: Path) -> None:
    folder = changed(good["bert"], tmp_path)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Evil()))
    (folder / "model.safetensors").unlink()
    check(folder, key="model.safetensors", value="pytorch_model.bin")
    (folder / "model.safetensors").write_bytes(pickle.dumps(_Evil()))
    check(folder, where="model.safetensors", remedy="safetensors")


def test_a_header_that_claims_terabytes_or_shares_bytes_is_refused(
    good: dict[str, Path], tmp_path: Path
) -> None:
    folder = changed(good["bert"], tmp_path)

    def header(claim: bytes, size: int | None = None, body: bytes = b"") -> None:
        length = len(claim) if size is None else size
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", length) + claim + body)

    header(b"{}", 1 << 42)
    check(folder, where="model.safetensors", value="header")
    large = {"dtype": "F32", "shape": [1 << 20, 1 << 20], "data_offsets": [0, 1 << 42]}
    header(json.dumps({"a": large}).encode())
    check(folder, where="model.safetensors", key="a")
    same = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    header(json.dumps({"a": same, "b": same}).encode(), body=bytes(16))
    check(folder, where="model.safetensors", value="overlap")
    header(json.dumps({"a": {**same, "dtype": "F9"}}).encode(), body=bytes(16))
    check(folder, where="model.safetensors", key="a")


def sharded(folder: Path) -> dict[str, str]:
    """The weights in two files; returns what the index says."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    where = {}
    for number, some in enumerate((names[::2], names[1::2]), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: weights[name] for name in some}, folder / file)
        where |= dict.fromkeys(some, file)
    return where


def index(folder: Path, where: Any) -> Path:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}), "utf-8")
    return folder


def test_shards_are_one(good: dict[str, Path], tmp_path: Path) -> None:
    whole = import_checkpoint(good["bert"], tmp_path / "whole", compare=False)
    folder = changed(good["bert"], tmp_path / "there")
    index(folder, sharded(folder))
    parts = import_checkpoint(folder, tmp_path / "parts", compare=False)
    one, two = ((x.folder / "model.safetensors").read_bytes() for x in (whole, parts))
    assert one == two


@pytest.mark.parametrize(
    "file",
    [
        "../secret.safetensors",
        "/etc/passwd",
        "a/b.safetensors",
        "x.bin",
        ".safetensors",
        "",
        "missing.safetensors",
    ],
)
def test_an_index_names_only_files_of_its_folder(good: dict[str, Path], tmp_path: Path, file: str) -> None:
    folder = changed(good["bert"], tmp_path / "there")
    where = sharded(folder)
    (tmp_path / "secret.safetensors").write_bytes((folder / next(iter(where.values()))).read_bytes())
    check(
        index(folder, where | {next(iter(where)): file}),
        **{"key" if file.startswith("missing") else "value": file},
    )


def test_an_index_and_its_files_must_agree(good: dict[str, Path], tmp_path: Path) -> None:
    folder = changed(good["bert"], tmp_path)
    where = sharded(folder)
    name = next(iter(where))
    check(index(folder, {key: file for key, file in where.items() if key != name}), key=name)
    check(index(folder, {**where, "ghost": where[name]}), key="ghost")
    check(index(folder, [1]), where="index.json", value="weight_map")
    check(index(folder, {}), where="index.json", value="weight_map")


def test_a_folder_without_a_tokenizer_is_refused(good: dict[str, Path], tmp_path: Path) -> None:
    folder = changed(good["bert"], tmp_path / "there")
    (folder / "tokenizer.json").unlink()
    check(folder, where="there", remedy="save one there")
    (folder / "tokenizer.json").write_text("{}", "utf-8")
    check(folder, where="tokenizer.json", outer_where="there")
    (folder / "tokenizer.json").write_text(tokenizer_json(), "utf-8")
    config = changed(folder, tmp_path / "small", vocab_size=V - 2)
    rewritten(config, lambda weights: None)
    check(config, limit=V - 2)


def test_what_no_family_can_say_is_not_written(tmp_path: Path) -> None:
    import regard

    (tmp_path / "text.txt").write_text("a man is riding a bicycle.\n" * 50, "utf-8")
    sizes = ("model.width=16", "model.hidden=24", "model.depth=1", "model.heads=2")
    trained = regard.train(
        "text-generation",
        tmp_path / "text.txt",
        tmp_path / "run",
        settings=sizes,
        steps=2,
        quiet=True,
        threads=1,
    )
    with refused(CheckpointError, value="no gpt2, because its parts are"):
        export_checkpoint(trained.folder, tmp_path / "there")
    assert not (tmp_path / "there" / "config.json").exists()


# --------------------------------------------------------------------------------------- fuzz

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 50),
    st.sampled_from(
        [10**9, 1 << 40, 0.5, -1.0, 1e300, float("nan"), "gelu", "relu", "", [], {}, [1], {"a": 1}]
    ),
)


@FUZZ
@given(st.data())
def test_any_configuration_comes_in_or_is_refused(shallow: dict[str, Path], data: st.DataObject) -> None:
    folder = shallow[data.draw(st.sampled_from(sorted(shallow)))]
    files = ("config.json", "preprocessor_config.json")
    path = folder / data.draw(st.sampled_from([name for name in files if (folder / name).is_file()]))
    before = path.read_text("utf-8")
    config = json.loads(before)
    names = st.sampled_from([*sorted(config), "new", "rope_scaling", "rope_theta", "n_ctx", "head_dim"])
    for name in data.draw(st.lists(names, min_size=1, max_size=3)):
        config[name] = data.draw(VALUES)
    path.write_text(json.dumps(config), "utf-8")
    try:
        with suppress(RegardError):
            assert read_checkpoint(folder)[3].task
    finally:
        path.write_text(before, "utf-8")


@FUZZ
@given(st.data())
def test_any_header_comes_in_or_is_refused(shallow: dict[str, Path], data: st.DataObject) -> None:
    path = shallow["bert"] / "model.safetensors"
    before = path.read_bytes()
    length = struct.unpack("<Q", before[:8])[0]
    changed_bytes = bytearray(before)
    for _ in range(data.draw(st.integers(1, 4))):
        changed_bytes[data.draw(st.integers(0, 7 + length))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(before), len(before) - 1, length, 9, 3, 0]))
    path.write_bytes(bytes(changed_bytes[:cut]))
    try:
        with suppress(RegardError):
            assert read_checkpoint(shallow["bert"])[3].task
    finally:
        path.write_bytes(before)


@FUZZ
@given(st.binary(max_size=200))
def test_any_bytes_are_a_sentencepiece_model_or_refused(memory: Path, content: bytes) -> None:
    path = memory / "spiece.model"
    path.write_bytes(content)
    with suppress(CheckpointError):
        assert pieces_of(path).names


@FUZZ
@given(st.data())
def test_any_kept_tokenizer_is_read_or_refused(data: st.DataObject) -> None:
    content = json.loads(_kept())
    spec = content["spec"]
    for name in data.draw(st.lists(st.sampled_from(sorted(spec)), max_size=2)):
        spec[name] = data.draw(VALUES)
    if data.draw(st.booleans()):
        text = content["tokenizer"]
        at = data.draw(st.integers(0, len(text)))
        content["tokenizer"] = text[:at] + data.draw(st.text(max_size=3)) + text[at + 2 :]
    with suppress(RegardError):
        tokenizer = Tokenizer.from_json(json.dumps(content))
        assert all(0 <= index < tokenizer.size for index in tokenizer.encode("w5 w9"))


def test_a_size_that_no_tokenizer_has_takes_no_memory() -> None:
    """Found by the fuzz: a name was made for each of 10⁹ ids."""
    for key, value in (("size", 10**9), ("size", 1 << 40), ("size", 0), ("between", 10**9)):
        content = json.loads(_kept())
        content["spec"][key] = value
        with pytest.raises(TokenizerError):
            Tokenizer.from_json(json.dumps(content))


def _kept() -> str:
    from regard.data.tokenizer_given import Given, GivenTokenizer

    return GivenTokenizer(Given(V, 0, 2, 3, 1, 4), tokenizer_json()).to_json()


def test_the_cases_that_are_fuzzed_exist() -> None:
    assert {*KINDS, *LOOKING} <= set(ALL)
    assert callable(write_tokenizer)
