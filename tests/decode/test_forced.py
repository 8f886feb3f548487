"""An answer that begins with given tokens goes on as the model would after them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import asked

import regard
from regard.decode.search import Limits, beam_search, greedy
from regard.decode.stepper import EncoderDecoderStepper, Forced
from regard.errors import InputError
from regard.model.attention import AttentionConfig
from regard.model.embed import Tokens
from regard.model.mask import Causal
from regard.model.stack import StackConfig
from regard.model.transformer import EncoderDecoder, EncoderDecoderConfig
from regard.tasks import Decoding
from tests.shared import refused

V, D, S = 13, 20, 7
NEVER = V + 1
CPU = torch.device("cpu")


@pytest.fixture
def model() -> EncoderDecoder:
    torch.manual_seed(1)
    torch.set_num_threads(1)
    encoder = StackConfig(D, 1, AttentionConfig(heads=5))
    decoder = StackConfig(D, 1, AttentionConfig(heads=5), cross=AttentionConfig(heads=5), mask=Causal())
    made = EncoderDecoderConfig(Tokens(V), Tokens(V), encoder, decoder).build()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return made.eval()


def stepper(model: EncoderDecoder, begin: list[int]) -> Forced:
    return Forced(EncoderDecoderStepper(model, torch.arange(S)[None], None, 11), begin)


@torch.inference_mode()
def test_what_the_model_would_write_anyway_changes_nothing(model: EncoderDecoder) -> None:
    limits = Limits(1, NEVER, [11])
    (free,) = greedy(stepper(model, []), limits, CPU)
    for count in (1, 4, 11):
        assert greedy(stepper(model, free[:count]), limits, CPU) == [free]


@torch.inference_mode()
def test_it_goes_on_as_after_any_other_tokens(model: EncoderDecoder) -> None:
    limits, begin = Limits(1, NEVER, [11]), [5, 5, 9]
    (written,) = greedy(stepper(model, begin), limits, CPU)
    assert written[:3] == begin
    given = torch.tensor([[1, *written[:-1]]])
    after = model(torch.arange(S)[None], given)[0].argmax(-1).tolist()
    assert written[3:] == after[3:]


@torch.inference_mode()
def test_every_beam_begins_so_and_its_scores_count_what_follows(model: EncoderDecoder) -> None:
    begin = [5, 9]
    (found,) = beam_search(stepper(model, begin), Limits(1, NEVER, [6]), CPU, width=4, alpha=0.0, n=4)
    assert [hypothesis.tokens[:2] for hypothesis in found] == [begin] * 4
    for hypothesis in found:
        given = torch.tensor([[1, *hypothesis.tokens[:-1]]])
        shares = model(torch.arange(S)[None], given)[0].log_softmax(-1)
        own = sum(float(shares[at, token]) for at, token in list(enumerate(hypothesis.tokens))[2:])
        assert hypothesis.log_probability == pytest.approx(own, abs=1e-4)


def test_a_run_begins_with_what_it_is_told(pairs: Path, tmp_path: Path) -> None:
    trained = regard.train(
        "translation", pairs, tmp_path / "run", settings=asked(pairs).settings, steps=5, quiet=True, threads=1
    )
    run = regard.load(trained.folder)
    tokenizer = run.task.target
    begin = tuple(tokenizer.encode("fade"))
    for beam in (1, 3):
        (found,) = run.predictions(["abc"], Decoding(beam=beam, begin=begin, max_length=9))
        assert found.value.plain().startswith("fade")
    (ended,) = run.predictions(["abc"], Decoding(begin=(*begin, tokenizer.eos), max_length=9))
    assert ended.value.plain() == "fade"
    assert run.task.decode_ids((*begin, tokenizer.eos)) == ("fade", True)
    assert run.task.decode_ids(begin) == ("fade", False)


def test_tasks_that_write_nothing_refuse_it() -> None:
    from regard.tasks import TASKS, Task
    from regard.tasks.decoding import check_decoding

    class Silent(TASKS["text-classification"]):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            pass

    silent: Task = Silent()
    with refused(InputError, key="tokens to begin with"):
        check_decoding(silent, Decoding(begin=(1,)))
