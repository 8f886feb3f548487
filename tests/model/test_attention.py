"""What `attend` refuses, and what its explicit path must survive."""

from __future__ import annotations

import pytest
import torch

from regard.model.attention import (
    AttentionConfig,
    attend,
    attention_scores,
    attention_weights,
)
from regard.model.mask import Causal, Contiguous


def test_attend_needs_nothing_but_vectors() -> None:
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])[None, None]
    weights = torch.softmax(x[0, 0] @ x[0, 0].T / 2**0.5, dim=-1)
    torch.testing.assert_close(attend(x, x, x)[0, 0], weights @ x[0, 0])


def test_the_answer_of_one_key_is_its_value() -> None:
    q, k, v = torch.randn(2, 3, 5, 7), torch.randn(2, 3, 1, 7), torch.randn(2, 3, 1, 11)
    torch.testing.assert_close(attend(q, k, v), v.expand(2, 3, 5, 11))


@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize(
    ("q", "k", "v", "said"),
    [
        ((3, 5, 7), (3, 5, 7), (3, 5, 7), r"\(B, H, T, C\) tensors"),
        ((2, 3, 5, 7), (2, 2, 5, 7), (2, 2, 5, 7), "G must divide H"),
        ((2, 3, 5, 7), (2, 3, 5, 5), (2, 3, 5, 7), "do not fit"),
        ((2, 3, 5, 7), (2, 3, 5, 7), (2, 3, 4, 7), "do not fit"),
        ((2, 3, 5, 7), (3, 3, 5, 7), (3, 3, 5, 7), "do not fit"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...], said: str, explicit: bool
) -> None:
    with pytest.raises(ValueError, match=said):
        attend(torch.zeros(q), torch.zeros(k), torch.zeros(v), explicit=explicit)


@pytest.mark.parametrize("explicit", [False, True])
def test_a_mask_of_numbers_is_refused(explicit: bool) -> None:
    x = torch.zeros(2, 3, 5, 7)
    with pytest.raises(ValueError, match="pass numbers to add as bias"):
        attend(x, x, x, torch.zeros(5, 5), explicit=explicit)


def test_a_causal_flag_with_more_keys_than_queries_is_refused() -> None:
    x = torch.zeros(2, 3, 5, 7)
    with pytest.raises(ValueError, match=r"pass Causal\(\)"):
        attend(x[:, :, 2:], x, x, "causal")


def test_queries_of_a_rule_are_the_last_places() -> None:
    q, x = torch.randn(2, 3, 5, 7), torch.randn(2, 3, 11, 7)
    whole = attend(torch.cat((torch.randn(2, 3, 6, 7), q), 2), x, x, Causal())
    torch.testing.assert_close(attend(q, x, x, Causal()), whole[:, :, 6:])


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="set head_width"):
        AttentionConfig(heads=3).build(20)
    with pytest.raises(ValueError, match="cannot share"):
        AttentionConfig(heads=3, kv_heads=2).build(21)


@pytest.mark.parametrize("explicit", [False, True])
def test_a_bias_of_another_precision_is_taken(explicit: bool) -> None:
    q, k, v = torch.randn(3, 2, 3, 5, 7).bfloat16()
    z = attend(q, k, v, bias=torch.randn(1, 3, 5, 5), explicit=explicit)
    assert z.dtype == torch.bfloat16


def test_a_row_of_scores_at_minus_infinity_gives_zeros_and_no_gradient() -> None:
    q, k, v = torch.randn(3, 2, 3, 5, 7)
    q.requires_grad_()
    bias = torch.zeros(1, 1, 5, 5)
    bias[..., 2, :] = -torch.inf
    weights = attention_weights(attention_scores(q, k, bias=bias))
    assert torch.equal(weights[:, :, 2], torch.zeros(2, 3, 5))
    (weights @ v).square().sum().backward()
    assert q.grad is not None
    assert torch.equal(q.grad[:, :, 2], torch.zeros(2, 3, 7))
    assert q.grad.isfinite().all()


class Strided:
    """A rule of a user: every second key, and the query's own."""

    def sees(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return (query - key) % 2 == 0


class Near(Strided):
    """One that can tell more without looking."""

    def static(self, query: Contiguous, key: Contiguous) -> str | None:
        return "undecided"


@pytest.mark.parametrize("rule", [Strided(), Near()])
@pytest.mark.parametrize("explicit", [False, True])
def test_any_object_that_says_who_sees_whom_is_a_mask(rule: Strided, explicit: bool) -> None:
    q, k, v = (torch.randn(2, 3, length, 5) for length in (4, 7, 7))
    allowed = torch.tensor([[(i + 3 - j) % 2 == 0 for j in range(7)] for i in range(4)])
    got = attend(q, k, v, rule, explicit=explicit)
    torch.testing.assert_close(got, attend(q, k, v, allowed[None, None], explicit=explicit))


@pytest.mark.parametrize("mask", [Causal, object(), 7, "window"])
def test_what_is_no_rule_is_refused_by_name(mask: object) -> None:
    x = torch.zeros(1, 1, 3, 5)
    with pytest.raises(ValueError, match=r"pass (a rule such as )?Causal\(\)"):
        attend(x, x, x, mask)  # type: ignore[arg-type]
