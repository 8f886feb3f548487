"""The sum that a logit is, as people see it: nothing is lost between the numbers and what is shown."""

from __future__ import annotations

import pytest

from regard.insight.ablation import Head
from regard.insight.logit_sum import LogitSum
from regard.insight.logit_sum_shown import logit_figure, logit_lines, logit_object, logit_step
from regard.insight.worked import Values

HEADS = {
    Head(f"decoder.blocks.{layer}.{kind}", head): 0.1 * layer - 0.3 * head + (kind == "cross")
    for layer in range(2)
    for kind, count in (("attention", 3), ("cross", 5))
    for head in range(count)
}
REST = {
    "target.out": 0.5,
    "decoder.position.added": -0.25,
    "decoder.blocks.0.attention.out.bias": 0.01,
    "decoder.blocks.0.feedforward.out": 2.0,
    "decoder.blocks.1.feedforward.out": -3.0,
    "decoder.final_norm.bias": 0.125,
    "head.bias": 0.75,
}
FOUND = LogitSum("</s>", "a", 3, "<s>", sum(HEADS.values()) + sum(REST.values()) + 1e-3, HEADS, REST)


def test_lines_name_every_part_and_say_how_near_the_sum_is() -> None:
    lines = list(logit_lines(FOUND))
    assert lines[0].startswith("logit of '</s>' over 'a' after '<s>' (place 3): ")
    assert "differs by 1.0e-03" in lines[1]
    assert "decoder.blocks.0.feedforward.out (+2.000)" in lines[2]
    assert lines[3].startswith("takes off most: decoder.blocks.1.feedforward.out (-3.000)")
    for name in (*(head.attention for head in HEADS), *REST):
        assert sum(line.split()[:1] == [name] for line in lines) == 1
    alone = LogitSum("a", None, None, "", 1.0, {}, {"head.bias": 1.0})
    assert next(logit_lines(alone)) == "logit of 'a': 1.0000"


def test_an_object_holds_the_whole_sum() -> None:
    made = logit_object(FOUND)
    assert [(part["attention"], part["head"], part["value"]) for part in made["heads"]] == [
        (head.attention, head.head, value) for head, value in HEADS.items()
    ]
    assert {part["name"]: part["value"] for part in made["rest"]} == REST
    assert (made["output"], made["against"], made["place"], made["token"]) == ("</s>", "a", 3, "<s>")
    assert (made["logit"], made["total"]) == (FOUND.logit, FOUND.total)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_figure_has_a_map_for_each_kind_of_head_and_bars_that_add_up(lang: str) -> None:
    own, cross, bars = logit_figure(FOUND, lang).data  # type: ignore[arg-type]
    for heat, kind in ((own, "attention"), (cross, "cross")):
        want = [value for head, value in HEADS.items() if head.attention.endswith(kind)]
        assert [value for row in heat.z for value in row] == want
        assert heat.zmax == -heat.zmin == max(map(abs, HEADS.values()))
    *parts, logit = bars.x
    assert logit == pytest.approx(FOUND.total) == pytest.approx(sum(parts))
    assert len(set(bars.y)) == len(bars.y)
    assert len(logit_figure(FOUND, lang, bars_only=True).data) == 1  # type: ignore[arg-type]


def test_a_section_of_a_page_has_every_number() -> None:
    step = logit_step(FOUND)
    values = [one for one in step.values if isinstance(one, Values)]
    assert [tuple(one.array.shape) for one in values] == [(2, 3), (2, 5), (len(REST), 1)]
    assert values[-1].array.flatten().tolist() == pytest.approx(list(REST.values()))
    for lang in ("en", "zh"):
        assert "1.0e-03" in step.text.of(lang)  # type: ignore[arg-type]
        assert "</s>" in step.title.of(lang)  # type: ignore[union-attr, arg-type]
