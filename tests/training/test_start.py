"""Training that starts from another bundle: what is taken, what is new, what moves, and what is refused."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import regard
from regard.errors import BundleError, ConfigError
from regard.model.lora import adapt, adapters, merge
from regard.strict_json import read_object
from regard.training.loop import Trainer
from regard.training.resolve import Asked, resolve, started
from regard.weights import read_weights
from tests.shared import refused

QUICK = ("model.width=16", "model.hidden=24", "model.depth=2", "model.heads=2", "model.dropout=0")
FURTHER: dict[str, Any] = {"settings": ("train.lr=1e-2",), "steps": 8, "quiet": True, "threads": 1}
HEAD = ("head.weight", "head.bias")


def write_labelled(folder: Path, labels: str = "abc", count: int = 240) -> Path:
    """A table of texts, labelled by the letter that they hold most of."""
    chance = random.Random(1)
    rows = []
    for _ in range(count):
        label = chance.choice(labels)
        rows.append(f"{label}\t{''.join(chance.choices('abcd' + 5 * label, k=9))}\n")
    path = folder / f"{labels}.tsv"
    if not path.exists():  # a file that is written anew is other data to a run that is resumed
        path.write_text("label\ttext\n" + "".join(rows), "utf-8")
    return path


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that has read texts and learned to fill gaps in them."""
    folder = tmp_path_factory.mktemp("body")
    chance = random.Random(2)
    lines = ["".join(chance.choices("abcd", k=9)) for _ in range(200)]
    (folder / "text.txt").write_text("\n".join(lines), "utf-8")
    options: dict[str, Any] = {"settings": QUICK, "steps": 12, "quiet": True, "threads": 1}
    return regard.train("fill-mask", folder / "text.txt", folder / "run", **options).folder


def further(body: Path, out: Path, *settings: str, labels: str = "abc", **wishes: Any) -> regard.Run:
    data = write_labelled(out.parent, labels)
    asked = FURTHER | {"settings": (*FURTHER["settings"], *settings)} | wishes
    return regard.load(regard.train("text-classification", data, out, init=body, **asked).folder)


def test_the_body_and_its_tokenizers_are_taken_and_the_head_is_new(body: Path, tmp_path: Path) -> None:
    """With a rate of almost nothing, what training leaves is what it started from."""
    run, base = further(body, tmp_path / "run", "train.lr=1e-30"), regard.load(body)
    assert run.task.files()["tokenizer.json"] == base.task.files()["tokenizer.json"]
    mine, theirs = run.bundle.weights, base.bundle.weights
    assert set(mine) - set(theirs) == set(HEAD)
    shared = set(mine) & set(theirs)
    assert len(shared) > 10
    assert all(torch.equal(mine[name], theirs[name]) for name in shared)
    assert run.bundle.training["train"]["init"] == str(body)


def test_a_head_that_says_the_same_is_taken_too_and_another_is_not(body: Path, tmp_path: Path) -> None:
    first = further(body, tmp_path / "first")
    again = further(first.folder, tmp_path / "again", "train.lr=1e-30")
    assert all(torch.equal(again.bundle.weights[name], first.bundle.weights[name]) for name in HEAD)
    other = further(first.folder, tmp_path / "other", "train.lr=1e-30", labels="bcd")
    assert not torch.equal(other.bundle.weights[HEAD[0]], first.bundle.weights[HEAD[0]])


def test_frozen_parts_stay_to_the_bit_and_the_others_move(body: Path, tmp_path: Path) -> None:
    base = regard.load(body).bundle.weights
    lower = further(body, tmp_path / "lower", "train.tune=frozen", "train.tune.blocks=1").bundle.weights
    for name in set(lower) & set(base):
        frozen = name.startswith(("embed.", "stack.blocks.0."))
        assert torch.equal(lower[name], base[name]) == frozen, name
    all_of_it = further(body, tmp_path / "all", "train.tune=frozen").bundle.weights
    assert all(torch.equal(all_of_it[name], base[name]) for name in set(all_of_it) & set(base))


def test_adapters_change_each_linear_by_their_rank_and_nothing_else(body: Path, tmp_path: Path) -> None:
    run = further(body, tmp_path / "run", "train.tune=lora", "train.tune.rank=3")
    base = regard.load(body).bundle.weights
    for name in set(run.bundle.weights) & set(base):
        change = run.bundle.weights[name] - base[name]
        linear = name.startswith("stack.blocks.") and change.ndim == 2
        assert bool(change.any()) == linear, name
        if linear:
            assert int(torch.linalg.matrix_rank(change, rtol=1e-4)) <= 3
    assert all(finding.holds for finding in run.verify(["abca", "bd"]))


def test_adapters_of_attention_leave_the_feed_forward_part_alone(body: Path, tmp_path: Path) -> None:
    run = further(body, tmp_path / "run", "train.tune=lora", "train.tune.parts=attention")
    base = regard.load(body).bundle.weights
    changed = {
        name for name in set(run.bundle.weights) & set(base) if run.bundle.weights[name].ne(base[name]).any()
    }
    assert changed == {name for name in base if name.endswith(("qkv.weight", "out.weight"))}


def test_new_adapters_change_nothing_and_merged_ones_say_the_same() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
    x = torch.randn(11, 5)
    before = model(x)
    adapt(model, ["0", "2"], rank=2, alpha=5.0)
    assert torch.equal(model(x), before)
    for _, adapter in adapters(model):
        nn.init.normal_(adapter.up)
    after = model(x)
    assert not torch.allclose(after, before)
    assert [name for name, p in model.named_parameters() if p.requires_grad] == [
        f"{part}.{way}" for part in "02" for way in ("down", "up")
    ]
    merge(model)
    assert [type(part) for part in model] == [nn.Linear, nn.Tanh, nn.Linear]
    assert torch.allclose(model(x), after, atol=1e-6)


def test_a_saved_adapter_makes_the_base_the_tuned_model(body: Path, tmp_path: Path) -> None:
    first = further(body, tmp_path / "first")  # so that base and tuned model have the same labels
    tuned = further(first.folder, tmp_path / "tuned", "train.tune=lora")
    folder = tuned.folder / "adapter"
    config = read_object(folder / "adapter_config.json", BundleError)
    stored = read_weights(folder / "adapter_model.safetensors")
    tensors = {name.removeprefix("base_model.model."): value for name, value in stored.items()}
    base = first.bundle.build().state_dict() | {
        name: value for name, value in tensors.items() if "lora_" not in name
    }
    for name in config["target_modules"]:
        down, up = (tensors[f"{name}.lora_{side}.weight"] for side in "AB")
        base[f"{name}.weight"] = base[f"{name}.weight"] + config["lora_alpha"] / config["r"] * up @ down
    for name, value in tuned.bundle.build().state_dict().items():
        assert torch.allclose(base[name], value, atol=1e-6), name


def test_peft_reads_what_we_save(body: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    first = further(body, tmp_path / "first")
    tuned = further(first.folder, tmp_path / "tuned", "train.tune=lora")
    ids = torch.tensor([[3, 5, 7, 4, 6]])
    theirs = peft.PeftModel.from_pretrained(first.bundle.build(), str(tuned.folder / "adapter")).eval()
    ours = tuned.bundle.build()
    assert not torch.allclose(ours(ids), first.bundle.build()(ids), atol=1e-3)
    assert torch.allclose(theirs(ids), ours(ids), atol=1e-5)


@pytest.mark.parametrize("tune", ["frozen", "lora"])
def test_a_tuned_run_that_was_stopped_ends_as_if_it_never_was(
    tune: str, body: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = (f"train.tune={tune}", "train.save_steps=3")
    (tmp_path / "a").mkdir()
    whole = further(body, tmp_path / "a" / "run", *settings)
    save = Trainer.save

    def save_and_stop(trainer: Trainer) -> None:
        save(trainer)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            further(body, tmp_path / "a" / "stopped", *settings)
    resumed = further(body, tmp_path / "a" / "stopped", *settings, resume=True)
    assert all(torch.equal(x, whole.bundle.weights[key]) for key, x in resumed.bundle.weights.items())


def write_marked(path: Path, names: str) -> Path:
    """A table of texts, labelled by a name for the letter after the mark: counting letters does not tell."""
    chance = random.Random(3)
    rows = []
    for _ in range(600):
        letters = chance.choices("abc", k=8)
        place = chance.randrange(8)
        rows.append(
            f"{names['abc'.index(letters[place])]}\t{''.join(letters[:place])}x{''.join(letters[place:])}\n"
        )
    path.write_text("label\ttext\n" + "".join(rows), "utf-8")
    return path


def test_a_body_that_has_learned_helps_where_a_fresh_one_does_not(tmp_path: Path) -> None:
    """A head alone learns new names for classes that its body can tell apart."""
    data, renamed = (write_marked(tmp_path / f"{names}.tsv", names) for names in ("pqr", "vuw"))
    quick = (
        "task.tokenizer=characters",
        "model.width=32",
        "model.hidden=64",
        "model.depth=2",
        "model.heads=2",
    )
    quick = (*quick, "model.dropout=0", "train.schedule.warmup=5", "train.lr=1e-2", "train.tokens=1024")
    common: dict[str, Any] = {"quiet": True, "threads": 1}
    reached = []
    for steps in (150, 1):
        out = tmp_path / str(steps)
        base = regard.train("text-classification", data, out, settings=quick, steps=steps, **common)
        head = ("train.lr=1e-1", "train.tune=frozen")
        tuned = regard.train(
            "text-classification",
            renamed,
            tmp_path / f"on{steps}",
            init=base.folder,
            settings=head,
            steps=60,
            **common,
        )
        reached.append(regard.load(tuned.folder).evaluate(split="train", baselines=False).metrics["accuracy"])
    assert reached[0] > 90
    assert reached[1] < 75


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (
            ("train.tune=frozen", "train.tune.blocks=3"),
            {"key": "train.tune.blocks", "value": 3, "limit": "at most 2, as in the model"},
        ),
        (("model.width=32",), {"key": "embed.weight", "value": (138, 32)}),
        (("task.tokenizer=characters",), {"key": "task.tokenizer"}),
    ],
)
def test_what_does_not_go_with_a_body_is_refused_by_name(
    settings: tuple[str, ...], parts: dict[str, Any], body: Path, tmp_path: Path
) -> None:
    with refused(ConfigError, **parts):
        further(body, tmp_path / "run", *settings)
    assert not (tmp_path / "run").exists()


def test_what_needs_a_body_is_refused_without_one(body: Path) -> None:
    for tune in ("frozen", "lora"):
        with refused(ConfigError, key="train.tune"):
            resolve(Asked("fill-mask", settings=(f"train.tune={tune}",)))
    with refused(ConfigError, key="train.init"):
        resolve(Asked("fill-mask", settings=(f"train.init={body}",)))
    with refused(ConfigError, key="--preset", value="--init"):
        started(Asked("fill-mask", preset="tiny", init=str(body)))
    with refused(
        BundleError, where="nowhere", remedy="give the folder that `regard train` or `import` wrote"
    ):
        started(Asked("fill-mask", init="nowhere"))
    asked = Asked("translation", init=str(body))
    start = started(asked)
    with refused(ConfigError, value="transformer", limit="encoder-decoder"):
        resolve(asked, start)
    with refused(ConfigError, key="train.tune.blocks"):
        regard.train(
            "fill-mask",
            body.parent / "text.txt",
            body.parent / "no",
            init=body,
            settings=["train.tune=frozen"],
        )
