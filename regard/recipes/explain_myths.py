"""Myths, tried: those of `course/myths.py`, and one that must be trained to be seen.

A layer of torch's is left at `batch_first=False` and given (batch, tokens, width), so that attention runs
across the images of a batch. The much-copied notebook is for MNIST; by default the mistake is made with
small digits, in seconds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regard.course import myths
from regard.course.parts import step
from regard.data.readers import open_data
from regard.data.readers.images import read_image
from regard.errors import DataError, RegardError
from regard.insight.parameters import Choice, Whole
from regard.insight.progress import part_of, progressed
from regard.insight.worked import Computed, Example, Step, Table, Words


@dataclass(frozen=True)
class Trial:
    """Data and size of the net on which both ways are tried."""

    data: str
    patch: int
    width: int
    hidden: int
    epochs: int
    batch: int
    rate: float


QUICK = Trial("digits", patch=2, width=32, hidden=64, epochs=12, batch=32, rate=2e-3)
NOTEBOOK = Trial("mnist", patch=7, width=64, hidden=2048, epochs=2, batch=64, rate=1e-3)
"""As in the notebook: 16 patches and a class token, two layers, two epochs."""

_TITLE = Words("Myths, tried", "误区，逐一验证")
_TEXT = Words(
    "Claims, numbers and code that tutorials carry: each run, judged and corrected.",
    "教程里流传的说法、数字和代码：逐一运行、评判、纠正。",
)
_CLAIM = Words("batch_first left at False", "batch_first 保持 False")
_TRAINED = "batch_first"
_CLAIMS = {"all": Words("all of them", "全部"), **myths.CLAIMS, _TRAINED: _CLAIM}
_PARAMETERS = (
    Choice("claim", Words("claim", "说法"), "all", tuple(_CLAIMS.items())),
    Choice(
        "heads",
        Words("heads in a width of 64 (d_k)", "宽 64 中的头数（d_k）"),
        "8",
        tuple((n, Words(n, n)) for n in ("1", "2", "4", "8", "16")),
    ),
    Whole("width", Words("the large d_k (vanishing gradients)", "较大的 d_k（梯度消失）"), 1024, 8, 4096),
)


def example(*, full: bool = False) -> Example:
    """`full`: train on all of MNIST, as the notebook does: minutes."""
    trial = NOTEBOOK if full else QUICK

    def make(claim: str, heads: str, width: int) -> Computed:
        tried = myths.steps(claim, heads, width)
        if claim in ("all", _TRAINED):
            tried += (_batch_first(trial, must=full),)
        return tried, myths.proofs()

    return Example("myths", _TITLE, _TEXT, make, _PARAMETERS)


class _Notebook(nn.Module):
    """Patches, a class token, learned positions, torch's own encoder, a linear layer on the first vector."""

    def __init__(self, trial: Trial, side: int, *, batch_first: bool) -> None:
        super().__init__()
        self.patch, width = trial.patch, trial.width
        self.embed = nn.Linear(trial.patch**2, width)
        self.first = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(0.02 * torch.randn(1, (side // trial.patch) ** 2 + 1, width))
        layer = [
            nn.TransformerEncoderLayer(width, 4, trial.hidden, dropout=0.0, batch_first=batch_first)
            for _ in range(2)
        ]
        self.layers = nn.Sequential(*layer)
        self.head = nn.Linear(width, 10)

    def forward(self, images: Tensor) -> Tensor:
        """(B, H, W) → (B, 10)."""
        cut = images.unflatten(2, (-1, self.patch)).unflatten(1, (-1, self.patch))
        words = self.embed(cut.transpose(2, 3).flatten(3).flatten(1, 2))
        words = torch.cat((self.first.expand(len(words), -1, -1), words), 1) + self.places
        return self.head(self.layers(words)[:, 0])


def _images(name: str, split: str) -> tuple[Tensor, Tensor]:
    """(N, H, W) from 0 to 1, and (N,) digits."""
    rows = list(open_data(name, ("image", "label")).split(split))
    grey = [torch.tensor(read_image(row.values[0])).reshape(-1) for row in rows]
    side = round(len(grey[0]) ** 0.5)
    digits = torch.tensor([int(row.values[1]) for row in rows])
    return torch.stack(grey).view(-1, side, side).float() / 255, digits


def _accuracy(
    trial: Trial, *, batch_first: bool, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]
) -> float:
    """Percent of the test digits that are right after training."""
    images, digits = train
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(1)
        net = _Notebook(trial, images.shape[1], batch_first=batch_first)
        optimizer = torch.optim.Adam(net.parameters(), lr=trial.rate)
        for epoch in range(trial.epochs):
            order = torch.randperm(len(images)).split(trial.batch)
            for step, chosen in enumerate(order):
                progressed((epoch + step / len(order)) / trial.epochs)
                optimizer.zero_grad()
                F.cross_entropy(net(images[chosen]), digits[chosen]).backward()
                optimizer.step()
    net.eval()
    with torch.no_grad():
        answers = torch.cat([net(part).argmax(1) for part in test[0].split(trial.batch)])
    return 100 * float((answers == test[1]).float().mean())


def _batch_first(trial: Trial, *, must: bool) -> Step:
    try:
        train, test = _images(trial.data, "train"), _images(trial.data, "test")
    except RegardError as problem:
        if must or isinstance(problem, DataError):
            raise
        return step(_CLAIM, f"Not tried: {problem}", f"未能验证：{problem}")
    started = time.perf_counter()
    found = {}
    for kind, part in ((False, (0.0, 0.5)), (True, (0.5, 1.0))):
        with part_of(*part):
            found[kind] = _accuracy(trial, batch_first=kind, train=train, test=test)
    seconds = time.perf_counter() - started
    n, epochs = f"{len(train[0]):,}", trial.epochs
    which = Words(
        f"a quick variant: {n} digits of 8 × 8, {epochs} epochs; --run takes MNIST",
        f"快速版：{n} 张 8 × 8 数字，{epochs} 个周期；加 --run 可在 MNIST 上训练",
    )
    if trial is NOTEBOOK:
        zh = f"完整的 MNIST，{epochs} 个周期，与那份笔记一致"
        which = Words(f"all of MNIST, {epochs} epochs, as in the notebook", zh)
    rows = tuple((f"batch_first={kind}", score) for kind, score in found.items())
    return step(
        _CLAIM,
        "nn.TransformerEncoderLayer takes (tokens, batch, width) unless told otherwise. Given (batch,"
        " tokens, width) it runs without a word: the class token of an image attends to the class tokens of"
        " the other images, never to its own patches, so that it knows nothing of its image. Just trained on"
        f" {which.en}; {seconds:.0f} s. Published for the notebook: 9.8 % as it is, 96.1 % mended.",
        "nn.TransformerEncoderLayer 默认的输入是 (词元, 批, 宽度)。给它 (批, 词元, 宽度) 也不报错：一张图的"
        "分类词元只会看同批其他图的分类词元，从不看自己的小块，对自己的图一无所知。刚刚训练过"
        f"（{which.zh}），用时 {seconds:.0f} 秒。那份笔记的已知结果：原样 9.8 %，改正后 96.1 %。",
        Table(
            Words("test accuracy in percent", "测试准确率（%）"),
            (Words("layer", "层"), Words("accuracy", "准确率")),
            rows,
            digits=1,
        ),
    )
