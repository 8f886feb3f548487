"""What published checkpoints are like beyond the textbook: other names, silent keys, rules for writing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import regard
from regard import bundle as bundles
from regard.errors import CheckpointError
from regard.interop import export_checkpoint, import_checkpoint, reference
from regard.interop.importing import read_checkpoint
from tests.interop.families import BOS, CASES, EOS, PAD, V, checkpoint
from tests.interop.test_families import ours, theirs
from tests.shared import refused

pytest.importorskip("transformers")
IDS, REAL = torch.tensor([[2, 9, 11, 30, 3]]), torch.ones(1, 5).long()


def saved(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Path:
    """The folder, its weights changed."""
    weights = change(load_file(folder / "model.safetensors"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def told(folder: Path, name: str = "config.json", **keys: Any) -> Path:
    """The folder, some keys of a file changed; those that are ... are taken away."""
    path = folder / name
    said = (json.loads(path.read_text("utf-8")) if path.exists() else {}) | keys
    path.write_text(json.dumps({key: value for key, value in said.items() if value is not ...}), "utf-8")
    return folder


def output(folder: Path, run: Path) -> Tensor:
    import_checkpoint(folder, run, compare=False)
    return ours(run, IDS, REAL, IDS, "right")


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_fsdp_wrapped_module.", "_forward_module."]
)
@pytest.mark.parametrize("name", ["bert", "llama", "t5", "bart"])
@torch.no_grad()
def test_what_wrapped_a_model_leaves_no_trace(name: str, prefix: str, tmp_path: Path) -> None:
    checkpoint(name, tmp_path / "there")
    want = output(tmp_path / "there", tmp_path / "plain")
    saved(tmp_path / "there", lambda weights: {prefix + key: value for key, value in weights.items()})
    made = import_checkpoint(tmp_path / "there", tmp_path / "run")
    assert made.difference is not None
    torch.testing.assert_close(ours(tmp_path / "run", IDS, REAL, IDS, "right"), want, atol=0, rtol=0)


BODIES = ("bert.", "roberta.", "distilbert.", "electra.", "mpnet.", "transformer.", "model.")


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith(("t5", "mt5"))])
@torch.no_grad()
def test_a_body_needs_no_name_before_its_weights(name: str, tmp_path: Path) -> None:
    model = checkpoint(name, tmp_path / "there")
    want = output(tmp_path / "there", tmp_path / "plain")
    saved(
        tmp_path / "there",
        lambda weights: {
            key.removeprefix(next(filter(key.startswith, BODIES), "")): value
            for key, value in weights.items()
        },
    )
    _, loading = type(model).from_pretrained(tmp_path / "there", output_loading_info=True)
    if loading["missing_keys"]:  # what begins with a part of the same name is not found by the library either
        return
    torch.testing.assert_close(output(tmp_path / "there", tmp_path / "run"), want, atol=0, rtol=0)


def test_a_wrapper_in_the_middle_of_a_name_leaves_no_trace(tmp_path: Path) -> None:
    checkpoint("llama", tmp_path)
    want = read_checkpoint(tmp_path)[0].entries
    saved(
        tmp_path,
        lambda weights: {
            key.replace("layers.0.", "layers.0._checkpoint_wrapped_module."): value
            for key, value in weights.items()
        },
    )
    assert read_checkpoint(tmp_path)[0].entries == want


@pytest.mark.parametrize(
    ("name", "first", "copy"),
    [
        ("bert", "bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"),
        ("llama tied, biases", "model.embed_tokens.weight", "lm_head.weight"),
        ("gpt2", "transformer.wte.weight", "lm_head.weight"),
        ("t5", "shared.weight", "encoder.embed_tokens.weight"),
        ("bart", "model.shared.weight", "lm_head.weight"),
        ("marian", "model.shared.weight", "model.decoder.embed_tokens.weight"),
    ],
)
@pytest.mark.parametrize("only", ["first", "copy", "both"])
@torch.no_grad()
def test_of_tied_weights_any_one_is_enough(
    name: str, first: str, copy: str, only: str, tmp_path: Path
) -> None:
    checkpoint(name, tmp_path / "there")
    want = output(tmp_path / "there", tmp_path / "plain")
    table = load_file(tmp_path / "there/model.safetensors")[first]

    def change(weights: dict[str, Tensor]) -> dict[str, Tensor]:
        names = {"first": [first], "copy": [copy], "both": [first, copy]}[only]
        rest = {key: value for key, value in weights.items() if key not in (first, copy)}
        return rest | {key: table.clone() for key in names}

    saved(tmp_path / "there", change)
    torch.testing.assert_close(output(tmp_path / "there", tmp_path / "run"), want, atol=0, rtol=0)


def test_outputs_that_differ_from_the_librarys_fail_the_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint("bert", tmp_path / "there")
    real = reference._ours
    monkeypatch.setattr(reference, "_ours", lambda *given: real(*given) * 1.01)
    with refused(CheckpointError, remedy="--no-compare"):
        import_checkpoint(tmp_path / "there", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("bert", {"layer_norm_eps": 1}),
        ("bert", {"hidden_act": None}),
        ("llama", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 500.0}}),
        (
            "llama",
            {
                "rope_parameters": {
                    "rope_type": "linear",
                    "factor": 2.0,
                    "rope_theta": 500.0,
                    "partial_rotary_factor": 0.4,
                }
            },
        ),
    ],
)
def test_what_the_library_cannot_run_is_a_note(name: str, keys: dict[str, Any], tmp_path: Path) -> None:
    checkpoint(name, tmp_path / "there")
    made = import_checkpoint(told(tmp_path / "there", **keys), tmp_path / "run")
    assert (made.difference is None) == any("not compared" in note for note in made.notes)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        (
            "llama",
            {"rope_parameters": {"rope_type": "default", "rope_theta": 99.0, "partial_rotary_factor": 0.4}},
        ),
        (
            "llama",
            {
                "rope_parameters": {"rope_type": "default", "rope_theta": 500.0},
                "rope_scaling": {"rope_type": "linear", "factor": 3.0},
            },
        ),
        (
            "llama llama3",
            {"original_max_position_embeddings": 5},
        ),
        ("llama yarn", {"original_max_position_embeddings": 5}),
        ("mistral", {"sliding_window": ...}),
        ("mistral", {"sliding_window": None}),
        ("qwen2 with windows", {"sliding_window": ...}),
        ("qwen2 with windows", {"sliding_window": None, "layer_types": ...}),
        ("bert", {"hidden_act": "gelu_accurate"}),
        ("bert", {"hidden_act": "gelu_python_tanh"}),
        ("bert", {"hidden_act": "quick_gelu"}),
        *(("llama", {"hidden_act": name}) for name in ("relu2", "relu6", "leaky_relu", "mish", "sigmoid")),
        *(("bert", {"hidden_act": name}) for name in ("gelu_10", "hardswish", "laplace", "linear")),
        ("bert", {"architectures": ...}),
        ("bert classes", {"architectures": None}),
        ("bert body", {"architectures": []}),
        ("bart", {"architectures": ["BartModel"]}),
        ("gpt2", {"n_ctx": 17}),
        ("t5", {"dense_act_fn": "tanh"}),
        ("t5", {"feed_forward_proj": ..., "is_gated_act": ..., "dense_act_fn": "silu"}),
        ("t5 gated", {"feed_forward_proj": "gated-silu", "dense_act_fn": "gelu"}),
        ("t5 gated", {"feed_forward_proj": "silu", "dense_act_fn": ..., "is_gated_act": True}),
    ],
)
@torch.no_grad()
def test_a_configuration_means_what_the_library_takes_it_for(
    name: str, keys: dict[str, Any], tmp_path: Path
) -> None:
    import transformers

    model = checkpoint(name, tmp_path / "there")
    told(tmp_path / "there", **keys)
    again = type(model).from_pretrained(tmp_path / "there").eval()
    assert isinstance(again, transformers.PreTrainedModel)
    got = output(tmp_path / "there", tmp_path / "run")
    torch.testing.assert_close(got, theirs(again, IDS, REAL, IDS), atol=1e-4, rtol=1e-4)


HARMLESS: dict[str, dict[str, Any]] = {
    "distilbert": {"tie_weights_": True},
    "llama": {"is_llama_config": True, "rope_interleaved": False, "transformers.js_config": {"dtype": "q4"}},
    "qwen2": {"use_mrope": False, "attention_bias": False, "unsloth_fixed": True},
    "bert": {
        "directionality": "bidi",
        "pooler_fc_size": 768,
        "pooler_num_attention_heads": 12,
        "pooler_num_fc_layers": 3,
        "pooler_size_per_head": 128,
        "pooler_type": "first_token_transform",
        "_attn_implementation_autoset": True,
    },
    "vit": {"tie_word_embeddings": False},
    "gpt2": {"layer_types": ["full_attention"] * 2, "_flash_attn_2_enabled": True},
    "bart": {"save_step": 58, "force_bos_token_to_be_generated": True},
}


@pytest.mark.parametrize("name", HARMLESS)
def test_keys_that_change_nothing_are_known(name: str, tmp_path: Path) -> None:
    checkpoint(name, tmp_path)
    read_checkpoint(told(tmp_path, **HARMLESS[name]))


@pytest.mark.parametrize(("name", "key"), [("llama", "rope_interleaved"), ("qwen2", "use_mrope")])
def test_what_is_harmless_with_one_value_is_refused_with_another(name: str, key: str, tmp_path: Path) -> None:
    checkpoint(name, tmp_path)
    with refused(CheckpointError, key=key):
        read_checkpoint(told(tmp_path, **{key: True}))


RULES: list[dict[str, Any]] = [
    {"suppress_tokens": [7, 8, 9, 10, 11, 12]},
    {"begin_suppress_tokens": list(range(5, 30))},
    {"bad_words_ids": [[token] for token in range(5, 20)]},
    {"repetition_penalty": 5.0},
    {"no_repeat_ngram_size": 2},
    {"min_length": 9},
    {"min_new_tokens": 8},
]
TWO_SIDED: list[dict[str, Any]] = [
    {"forced_bos_token_id": 17},
    {"forced_eos_token_id": EOS},
    {"decoder_start_token_id": 23},
]


@pytest.mark.parametrize(
    ("name", "rules"),
    [(name, rules) for name in ("llama", "bart") for rules in RULES]
    + [("bart", rules) for rules in TWO_SIDED],
    ids=lambda given: given if isinstance(given, str) else next(iter(given)),
)
@torch.no_grad()
def test_rules_for_writing_are_kept_and_given_back(name: str, rules: dict[str, Any], tmp_path: Path) -> None:
    model = checkpoint(name, tmp_path / "there", lambda model: lively(model))
    common = {"eos_token_id": EOS, "pad_token_id": PAD, "bos_token_id": BOS}
    common |= {"decoder_start_token_id": EOS} if name == "bart" else {}
    (tmp_path / "there/generation_config.json").write_text(json.dumps(common | rules), "utf-8")
    model = type(model).from_pretrained(tmp_path / "there").eval()
    import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False)
    export_checkpoint(tmp_path / "run", tmp_path / "back")
    import_checkpoint(tmp_path / "back", tmp_path / "again", compare=False)
    ids = [BOS, 9, 11, 30] + ([EOS] if name == "bart" else [])
    found = model.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids)).long(),
        max_new_tokens=11,
        do_sample=False,
        num_beams=1,
    )[0].tolist()[1 if name == "bart" else len(ids) :]
    found = found[: found.index(EOS)] if EOS in found else found
    for folder in (tmp_path / "run", tmp_path / "again"):
        run: Any = regard.load(folder)
        tokenizer = run.task.target if name == "bart" else run.task.tokenizer
        before = [] if name == "bart" else ids[1:]  # a continuation keeps the space that it begins with
        want = tokenizer.decode([*before, *found])[len(tokenizer.decode(before)) :]
        assert [x.plain() for x in run.predict(["w9 w11 w30"], max_length=11)] == [want]


def lively(model: Any) -> None:
    """So that what was written decides what comes next."""
    for key, parameter in model.named_parameters():
        if parameter.ndim == 2 and not any(part in key for part in ("shared", "emb")):
            parameter.mul_(3)


@pytest.mark.parametrize("key", ["encoder_no_repeat_ngram_size", "forced_decoder_ids", "sequence_bias"])
def test_rules_for_writing_that_cannot_be_kept_are_refused_by_name(key: str, tmp_path: Path) -> None:
    checkpoint("bart", tmp_path)
    told(tmp_path, "generation_config.json", **{key: 3})
    with refused(CheckpointError, where="generation_config.json", key=key):
        read_checkpoint(tmp_path)


def test_the_configuration_of_generation_comes_before_that_of_the_model(tmp_path: Path) -> None:
    checkpoint("bart", tmp_path)
    told(tmp_path, bad_words_ids=[[7]], forced_bos_token_id=9, forced_eos_token_id=None)
    told(tmp_path, "generation_config.json", bad_words_ids=[[8]], forced_bos_token_id=None)
    assert read_checkpoint(tmp_path)[3].options["never"] == [8]
    assert "constraints" not in read_checkpoint(tmp_path)[3].options
    (tmp_path / "generation_config.json").unlink()
    options = read_checkpoint(tmp_path)[3].options
    assert (options["never"], options["constraints"]) == ([7], {"opening": [9]})
    told(tmp_path, bad_words_ids=..., forced_bos_token_id=..., forced_eos_token_id=...)
    assert read_checkpoint(tmp_path)[3].options["constraints"] == {"forced_end": True}  # as BART's class does


NAMES = ["crane", " spaced name", "a|b", "crane", "e"]


@pytest.mark.parametrize("problem", ["single_label_classification", "multi_label_classification"])
def test_names_of_classes_come_back_as_they_were(problem: str, tmp_path: Path) -> None:
    checkpoint("bert classes", tmp_path / "there")
    told(tmp_path / "there", id2label=dict(enumerate(NAMES)), problem_type=problem)
    import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False)
    labels = json.loads(bundles.load(tmp_path / "run").tokenizers["labels.json"])
    assert list(labels) == ["crane", "spaced name", "a|b", "crane (3)", "e"]
    export_checkpoint(tmp_path / "run", tmp_path / "back")
    said = json.loads((tmp_path / "back/config.json").read_text("utf-8"))
    assert list(said["id2label"].values()) == NAMES
    assert said["problem_type"] == problem


@pytest.mark.parametrize(
    "name",
    [
        "bert pretraining",
        "bert body",
        "roberta body",
        "vit body",
        "dinov2",
        "dinov2 body",
        "registers",
        "bert",
        "roberta whose second type nothing reads",
    ],
)
@torch.no_grad()
def test_weights_that_nothing_reads_come_back(name: str, tmp_path: Path) -> None:
    checkpoint(name, tmp_path / "there")
    import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False)
    export_checkpoint(tmp_path / "run", tmp_path / "back")
    came, went = (load_file(tmp_path / folder / "model.safetensors") for folder in ("there", "back"))
    assert went.keys() == came.keys() - {"cls.predictions.decoder.bias"}
    for key, weight in went.items():
        rows = slice(2, None) if "position_embeddings" in key else slice(None)  # it does not read those
        torch.testing.assert_close(weight[rows], came[key][rows], atol=0, rtol=1e-6)


@pytest.mark.parametrize("number", ["sigmoid", "plain"])
@torch.no_grad()
def test_a_model_of_one_output_gives_its_number_for_pairs(number: str, tmp_path: Path) -> None:
    model = checkpoint("bert of one output", tmp_path / "there")
    if number == "plain":
        told(tmp_path / "there", sbert_ce_default_activation_function="torch.nn.modules.linear.Identity")
    import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False)
    export_checkpoint(tmp_path / "run", tmp_path / "back")
    import_checkpoint(tmp_path / "back", tmp_path / "again", compare=False)
    ids, types = [[BOS, 9, 11, EOS, 30, 12, EOS]], [[0, 0, 0, 0, 1, 1, 1]]
    logit = model(input_ids=torch.tensor(ids), token_type_ids=torch.tensor(types)).logits[0, 0]
    want = float(logit if number == "plain" else logit.sigmoid())
    for folder in ("run", "again"):
        (found,) = regard.load(tmp_path / folder).predictions(["w9 w11\tw30 w12"])
        assert found.score == pytest.approx(want, abs=1e-4)
        assert found.value.number == pytest.approx(want, abs=1e-4)


@torch.no_grad()
def test_a_classifier_takes_a_text_or_a_pair(tmp_path: Path) -> None:
    model = checkpoint("bert classes", tmp_path / "there")
    import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False)
    run = regard.load(tmp_path / "run")
    ids, types = [[BOS, 9, 11, EOS, 30, 12, EOS]], [[0, 0, 0, 0, 1, 1, 1]]
    pair = model(input_ids=torch.tensor(ids), token_type_ids=torch.tensor(types)).logits.softmax(-1)
    alone = model(input_ids=torch.tensor([[BOS, 9, 11, EOS]])).logits.softmax(-1)
    for text, want in (("w9 w11\tw30 w12", pair), ("w9 w11", alone)):
        assert run.predictions([text])[0].score == pytest.approx(float(want.max()), abs=1e-4)


def test_ids_are_those_of_a_vocabulary(tmp_path: Path) -> None:
    checkpoint("llama", tmp_path)
    told(tmp_path, "generation_config.json", suppress_tokens=[V])
    with refused(CheckpointError, key="suppress_tokens", value="[37]", limit=37):
        read_checkpoint(tmp_path)
