"""What came in is a bundle like any other: it predicts, is judged and verified, from the command line too."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer as Backend

import regard
from regard.cli.main import main
from regard.errors import CheckpointError
from regard.interop import export_checkpoint, import_checkpoint
from regard.interop.importing import read_checkpoint
from regard.model.head import Vector
from regard.model.transformer import Transformer, TransformerConfig
from regard.tasks import Decoding
from tests.interop.families import BOS, EOS, D, checkpoint, tokenizer_json
from tests.shared import refused

USED = {
    "bert": ["w5 [MASK] w9", "[MASK] w6 [MASK] w30"],
    "roberta": ["w5 [MASK] w9", "[MASK] w6"],
    "distilbert classes": ["w5 w9", "w8 w8 w20"],
    "bert body": ["w5 w9", "w8 w8 w20"],
    "mistral": ["w5 w9", "w8"],
    "t5": ["w5 w9 w21", "w8"],
    "bart": ["w5 w9 w21", "w8"],
}


@pytest.mark.parametrize("name", USED)
def test_a_bundle_that_came_in_is_used_like_any_other(name: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    checkpoint(name, tmp_path / "there")
    made = import_checkpoint(tmp_path / "there", tmp_path / "run")
    assert made.difference is not None
    assert made.difference < 1e-4
    run = regard.load(tmp_path / "run")
    assert run.bundle.task == made.task
    longest = {"max_length": 5} if "max_length" in getattr(run.task, "supports", ()) else {}
    assert len(run.predict(USED[name], **longest)) == 2
    assert all(finding.holds for finding in run.verify(USED[name]))
    assert all(finding.holds for finding in run.verify())
    labelled, columns = "class" in name, run.task.columns(run.task.config)
    rows = [("LABEL_1" if labelled else "w7 w8", "w5 w9 w11"), ("LABEL_0" if labelled else "w9", "w6 w5")]
    (tmp_path / "rows.tsv").write_text(
        ("label\ttext\n" if labelled else "a\tb\n") + "".join(f"{a}\t{b}\n" for a, b in rows), "utf-8"
    )
    (tmp_path / "rows.txt").write_text("w5 w9 w11\nw8 w6 w30 w7\n", "utf-8")
    data = tmp_path / ("rows.tsv" if labelled or len(columns) == 2 else "rows.txt")
    figures = run.evaluate(data, "train", baselines=False).metrics
    assert math.isfinite(run.task.metric().selection_score(figures))


@pytest.mark.parametrize(("name", "between"), [("bert", 1), ("roberta", 2), ("distilbert", 1)])
def test_an_answer_is_where_the_library_finds_it(name: str, between: int, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    model = checkpoint(f"{name} spans", tmp_path / "there")
    path = tmp_path / "there" / "tokenizer.json"
    said = json.loads(path.read_text("utf-8")) | {"post_processor": None}  # so that the family decides
    path.write_text(json.dumps(said), "utf-8")
    made = import_checkpoint(tmp_path / "there", tmp_path / "run")
    assert (made.task, made.difference is not None and made.difference < 1e-4) == ("question-answering", True)
    run = regard.load(tmp_path / "run")
    question, context = "w5 w9", "w11 w30 w6 w21 w8"
    ids = [BOS, 5, 9, *[EOS] * between, 11, 30, 6, 21, 8, EOS]
    types = {} if name != "bert" else {"token_type_ids": torch.tensor([[0] * 4 + [1] * 6])}
    with torch.no_grad():
        found = model(input_ids=torch.tensor([ids]), **types)
    first = 3 + between
    words = context.split()
    scores = {
        " ".join(words[a : b + 1]): float(found.start_logits[0, first + a] + found.end_logits[0, first + b])
        for a in range(5)
        for b in range(a, 5)
    }
    assert [x.plain() for x in run.predict([f"{question}\t{context}"])] == [
        max(scores, key=lambda text: scores[text])
    ]
    exported = export_checkpoint(tmp_path / "run", tmp_path / "back")
    assert exported.architecture == type(model).__name__


def test_the_texts_of_a_pair_are_parted_as_the_library_parts_them(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    checkpoint("roberta classes", tmp_path / "there")
    path = tmp_path / "there" / "tokenizer.json"
    for processor, between in ((None, 2), (json.loads(path.read_text("utf-8"))["post_processor"], 1)):
        said = json.loads(path.read_text("utf-8")) | {"post_processor": processor}
        path.write_text(json.dumps(said), "utf-8")
        run = import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False, overwrite=True).folder
        task: Any = regard.load(run).task
        assert task.frame([("w5", "w6 w7")])[0] == [[BOS, 5, *[EOS] * between, 6, 7, EOS]]
        assert task.frame([("w5 w6",)])[0] == [[BOS, 5, 6, EOS]]
        long = " ".join(["w5"] * 100)
        assert len(task.frame([(long, long)])[0][0]) == task.config.max_length


def test_any_of_several_tokens_ends_a_text(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    checkpoint("llama", tmp_path / "there")
    (tmp_path / "there/generation_config.json").unlink()
    before = (
        regard.load(import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False).folder)
        .predict(["w5 w9"], max_length=12)[0]
        .plain()
        .split()
    )
    last = before[-1]
    index = int(last[1:])
    for name, value in (("config.json", [EOS, index]), ("generation_config.json", [index, EOS])):
        path = tmp_path / "there" / name
        said = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        kept = json.dumps(said)
        path.write_text(json.dumps(said | {"eos_token_id": value}), "utf-8")
        run = import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False, overwrite=True).folder
        assert (
            regard.load(run).predict(["w5 w9"], max_length=12)[0].plain().split()
            == before[: before.index(last)]
        )
        exported = export_checkpoint(run, tmp_path / name.partition(".")[0]).folder
        assert json.loads((exported / "config.json").read_text("utf-8"))["eos_token_id"] == [EOS, index]
        path.write_text(kept, "utf-8")


def test_the_commands_say_what_they_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers")
    checkpoint("gpt2", tmp_path / "there")

    def command(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["regard", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out, printed.err

    status, out, _ = command("import", tmp_path / "there", tmp_path / "run")
    assert status == 0
    assert "GPT2LMHeadModel for text-generation" in out
    assert "largest difference from transformers" in out
    status, _, error = command("import", tmp_path / "there", tmp_path / "run")
    assert (status, "--overwrite" in error) == (2, True)
    status, out, _ = command(
        "import", tmp_path / "there", tmp_path / "run", "--overwrite", "--no-compare", "--json"
    )
    assert json.loads(out)["difference"] is None
    status, out, _ = command("export", tmp_path / "run", tmp_path / "back")
    assert (status, "GPT2LMHeadModel" in out) == (0, True)
    assert json.loads((tmp_path / "back" / "config.json").read_text("utf-8"))["model_type"] == "gpt2"
    status, _, error = command("import", tmp_path / "nowhere", tmp_path / "other")
    assert (status, "is not a folder" in error) == (2, True)


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    checkpoint("bert body", tmp_path / "there")
    import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False)
    with refused(CheckpointError, remedy="--overwrite"):
        import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False)


def test_a_question_and_its_context_are_read_as_the_encoder_learned_pairs(tmp_path: Path) -> None:
    """Framed as its own tokenizer frames two texts, each with its type."""
    pytest.importorskip("transformers")
    checkpoint("bert body", tmp_path / "there")
    import_checkpoint(tmp_path / "there", tmp_path / "body", compare=False)
    answers = json.dumps([{"text": "w9", "answer_start": 3}])
    rows = "".join(f"w8 w9 w1{i}\tw5 w6\t{answers}\n" for i in range(9))
    (tmp_path / "rows.tsv").write_text(f"context\tquestion\tanswers\n{rows}", "utf-8")
    regard.train(
        "question-answering",
        tmp_path / "rows.tsv",
        tmp_path / "run",
        settings=["task.max_length=40", "task.max_question=20"],
        init=tmp_path / "body",
        steps=1,
        quiet=True,
        threads=1,
    )
    run = regard.load(tmp_path / "run")
    _, (ids,) = run.task.model_inputs(run.model, ["w5 w6\tw8 w9 w10"], Decoding())
    want = Backend.from_str(tokenizer_json()).encode("w5 w6", "w8 w9 w10")
    assert list(ids) == want.ids
    assert isinstance(run.model, Transformer)
    assert run.model.embed._type(torch.tensor([want.ids])).tolist() == [want.type_ids]
    (span,) = run.predictions(["w5 w6\tw8 w9 w10"])[0].value.spans
    assert span[:2] in {(0, 2), (3, 5), (6, 9), (0, 5), (3, 9), (0, 9)}


@pytest.mark.parametrize(
    ("mode", "kinds", "want"),
    [
        ("mean_tokens", ("Transformer", "Pooling", "Normalize"), Vector("mean", True)),
        ("cls_token", ("Transformer", "Pooling"), Vector("first", False)),
        ("max_tokens", ("Transformer", "Pooling"), None),
        ("mean_tokens", ("Transformer", "Pooling", "Dense"), None),
    ],
)
def test_a_sentence_encoder_pools_as_its_folder_says(
    mode: str, kinds: tuple[str, ...], want: Vector | None, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    checkpoint("bert body", tmp_path)
    steps = [{"idx": i, "type": f"sentence_transformers.models.{kind}"} for i, kind in enumerate(kinds)]
    (tmp_path / "modules.json").write_text(json.dumps(steps), "utf-8")
    (tmp_path / "1_Pooling").mkdir()
    modes = {f"pooling_mode_{name}": name == mode for name in ("cls_token", "mean_tokens", "max_tokens")}
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(modes), "utf-8")
    if want is None:
        with refused(CheckpointError, value=mode if mode == "max_tokens" else ", ".join(kinds)):
            read_checkpoint(tmp_path)
        return
    plan = read_checkpoint(tmp_path)[3]
    assert isinstance(plan.model, TransformerConfig)
    assert plan.model.head == want
    run = import_checkpoint(tmp_path, tmp_path / "run", compare=False).folder
    back = export_checkpoint(run, tmp_path / "back").folder
    again = read_checkpoint(back)[3]
    assert again.model == plan.model
    assert again.options == plan.options
    written = json.loads((back / "modules.json").read_text("utf-8"))
    assert [step["type"].rpartition(".")[2] for step in written] == list(kinds)
    assert (
        json.loads((back / "1_Pooling" / "config.json").read_text("utf-8"))["word_embedding_dimension"] == D
    )


_OLD = tuple(f"sentence_transformers.models.{kind}" for kind in ("Transformer", "Pooling", "Normalize"))
_NEW = (
    "sentence_transformers.base.modules.transformer.Transformer",
    "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    "sentence_transformers.sentence_transformer.modules.normalize.Normalize",
)


def sentence_folder(folder: Path, types: tuple[str, ...], pooling: dict[str, Any], **files: Any) -> Path:
    """A folder of sentence-transformers as its versions write it."""
    checkpoint("bert body", folder)
    paths = ("", "1_Pooling", "2_Normalize")
    steps = [
        {"idx": i, "name": str(i), "path": path, "type": kind}
        for i, (path, kind) in enumerate(zip(paths, types, strict=False))
    ]
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling), "utf-8")
    for name, content in {"modules": steps, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(content), "utf-8")
    return folder


@pytest.mark.parametrize("types", [_OLD, _NEW])
@pytest.mark.parametrize(
    "pooling",
    [
        {"word_embedding_dimension": D, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True},
        {"embedding_dimension": D, "pooling_mode": "mean", "include_prompt": True},
        {"embedding_dimension": D, "pooling_mode": ["mean"]},
    ],
)
def test_every_version_of_a_sentence_folder_is_read(
    types: tuple[str, ...], pooling: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    plan = read_checkpoint(sentence_folder(tmp_path, types, pooling))[3]
    assert isinstance(plan.model, TransformerConfig)
    assert plan.model.head == Vector("mean", True)


@pytest.mark.parametrize(
    ("types", "pooling", "files", "parts"),
    [
        (_NEW[:2], {"pooling_mode": "max"}, {}, {"value": "max"}),
        (_NEW[:2], {"pooling_mode": "lasttoken"}, {}, {"value": "lasttoken"}),
        (_NEW[:2], {"pooling_mode": ["mean", "max"]}, {}, {"value": "mean_tokens, max"}),
        (_NEW[:2], {}, {}, {"value": "nothing"}),
        ((_NEW[0], _NEW[1], "other.code.Head"), {"pooling_mode": "mean"}, {}, {"value": "other.code.Head"}),
        ((_NEW[1], _NEW[0]), {"pooling_mode": "mean"}, {}, {"value": "Pooling, Transformer"}),
        (
            _OLD,
            {"pooling_mode": "mean"},
            {"config_sentence_transformers": {"prompts": {"q": "query: "}, "default_prompt_name": "d"}},
            {"key": "default_prompt_name", "value": '"d"'},
        ),
        (
            _OLD,
            {"pooling_mode": "mean", "include_prompt": False},
            {"config_sentence_transformers": {"prompts": {"q": "query: "}, "default_prompt_name": "q"}},
            {"key": "include_prompt"},
        ),
        *(
            (
                _OLD[:2],
                {"pooling_mode": "mean"},
                {"config_sentence_transformers": {"similarity_fn_name": name}},
                {"key": "similarity_fn_name", "value": name},
            )
            for name in ("dot", "euclidean", "manhattan")
        ),
        (
            _OLD,
            {"pooling_mode": "mean"},
            {"sentence_bert_config": {"do_lower_case": "yes"}},
            {"key": "do_lower_case"},
        ),
    ],
)
def test_what_a_sentence_folder_asks_for_is_refused_by_name_where_it_is_not_done(
    types: tuple[str, ...],
    pooling: dict[str, Any],
    files: dict[str, Any],
    parts: dict[str, Any],
    tmp_path: Path,
) -> None:
    pytest.importorskip("transformers")
    with refused(CheckpointError, **parts):
        read_checkpoint(sentence_folder(tmp_path, types, pooling, **files))


def test_a_sentence_folders_other_keys_are_honoured(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    said = {"prompts": {"query": "query: "}, "default_prompt_name": None, "similarity_fn_name": "dot"}
    files = {"config_sentence_transformers": said, "sentence_bert_config": {"do_lower_case": True}}
    plan = read_checkpoint(sentence_folder(tmp_path, _OLD, {"pooling_mode": "mean"}, **files))[3]
    tokenizer = plan.tokenizers["tokenizer.json"]
    assert tokenizer.encode("W5 W9") == tokenizer.encode("w5 w9") == [5, 9]
    assert tokenizer.encode_with_offsets("W5 W9")[1] == [(0, 2), (3, 5)]


@torch.no_grad()
def test_the_default_prompt_of_a_sentence_folder_stands_before_every_text(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    said = {
        "prompts": {"query": "w7 w8 ", "other": "w3 "},
        "default_prompt_name": "query",
        "similarity_fn_name": "cosine",
    }
    files = {"config_sentence_transformers": said}
    sentence_folder(tmp_path / "there", _OLD, {"pooling_mode": "mean"}, **files)
    sentence_folder(tmp_path / "bare", _OLD, {"pooling_mode": "mean"})
    import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False)
    import_checkpoint(tmp_path / "bare", tmp_path / "plain", compare=False)
    export_checkpoint(tmp_path / "run", tmp_path / "back")
    assert json.loads((tmp_path / "back/config_sentence_transformers.json").read_text("utf-8")) == said
    import_checkpoint(tmp_path / "back", tmp_path / "again", compare=False)
    want = regard.load(tmp_path / "plain").predict(["w7 w8 w5 w9", "w7 w8 "])
    for run in ("run", "again"):
        assert regard.load(tmp_path / run).predict(["w5 w9", "  "]) == want


def test_a_token_that_is_never_written_is_not(tmp_path: Path) -> None:
    pytest.importorskip("transformers")

    def loud(model: torch.nn.Module) -> None:
        model.get_buffer("final_logits_bias")[0, 9] = 50.0

    checkpoint("marian", tmp_path / "there", loud)
    (tmp_path / "there/generation_config.json").unlink()
    path = tmp_path / "there" / "config.json"
    for never, loudest in ((None, True), ([[9]], False)):
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"bad_words_ids": never}), "utf-8")
        import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False, overwrite=True)
        for beam in (1, 3):
            (answer,) = regard.load(tmp_path / "run").predict(["w5 w6"], max_length=6, beam=beam)
            assert ("w9" in answer.plain().split()) == loudest
