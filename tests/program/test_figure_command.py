"""`regard figure` as a user runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import asked

import regard
from regard.looking.analyses import ALL


def test_it_lists_what_there_is_and_of_a_model_what_suits_it(run: Path, cli: Callable[..., Any]) -> None:
    every, its, chinese = cli("figure"), cli("figure", run), cli("figure", "--lang", "zh")
    assert {every.status, its.status, chinese.status} == {0}
    for one in ALL:
        assert f"\n{one.name} " in f"\n{every.out}"
        assert (f"\n{one.name} " in f"\n{its.out}") == (one.name != "patches")
        assert one.about.zh[:8] in chinese.out
    assert "playback" in its.out


@pytest.mark.parametrize("name", ["alignment", "lens", "rollout", "neighbours"])
def test_a_figure_is_one_page_in_both_languages(
    name: str, run: Path, tmp_path: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = cli("figure", run, "abcd", "--of", name, "--threads", 1)
    assert (said.status, said.out) == (0, f"{name}.html\n"), said.err
    page = (tmp_path / f"{name}.html").read_text("utf-8")
    assert "abcd" in page
    assert page.count('"heatmap"') >= 2
    assert "http-equiv" in page


def test_python_gives_the_same_as_a_plotly_figure(run: Path) -> None:
    figure = regard.load(run).figure("lens", "abcd", lang="zh")
    assert figure.layout.yaxis.title.text == "第几层之后"
    assert len(figure.data[0].z) == len(figure.layout.yaxis.ticktext)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--of", "lense"), "did you mean 'lens'"),
        (("--of", "patching"), "--other"),
        (("--of", "patching", "--other", "a b c d e f"), "equally many tokens"),
        (("--of", "gradients", "--number", "99"), "was not written"),
        (("--of", "playback"), "--part"),
        (("--of", "playback", "--part", "decoder.blocks.0.cross.weights"), "no snapshots"),
        (("--of", "patches"), "no analysis"),
        (("--of", "gradients", "--dtype", "int8"), "no analysis"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(
    arguments: tuple[str, ...], word: str, run: Path, cli: Callable[..., Any]
) -> None:
    said = cli("figure", run, "abcd", *arguments, "--threads", 1)
    assert (said.status, said.out, said.err.count("\n")) == (2, "", 1)
    assert word in said.err


def test_a_figure_needs_a_run_and_an_input(cli: Callable[..., Any], run: Path) -> None:
    for arguments in ((), (run,)):
        said = cli("figure", *arguments, "--of", "lens")
        assert (said.status, said.out) == (2, "")
        assert "is missing; give both" in said.err


def test_playback_is_a_page_with_a_frame_for_each_snapshot(
    pairs: Path, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    settings = (*asked(pairs).settings, "train.snapshots=3")
    regard.train("translation", pairs, tmp_path / "run", settings=settings, steps=6, quiet=True, threads=1)
    page = tmp_path / "p.html"
    part = "decoder.blocks.0.cross.weights"
    said = cli("figure", tmp_path / "run", "abcd", "--of", "playback", "--part", part, "--out", page)
    assert said.status == 0, said.err
    kept = len(list((tmp_path / "run" / "snapshots").iterdir()))
    assert page.read_text("utf-8").count('"traces":[0,2]') == 2 * kept  # in both languages
