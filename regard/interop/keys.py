"""The keys of a foreign configuration, each of which must be honoured or be known not to matter.

A family takes the keys that it understands, one by one; what is left in the end is refused by name. Nothing
is believed: a size that the weights have no room for is refused before anything of that size is made.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from regard.errors import CheckpointError, nearest
from regard.model.feedforward import Activation

T = TypeVar("T")

_OF_THE_LIBRARY = """
_name_or_path architectures model_type transformers_version dtype torch_dtype return_dict
use_return_dict output_attentions output_hidden_states torchscript use_bfloat16 use_cache
gradient_checkpointing initializer_range initializer_factor init_std tf_legacy_loss tokenizer_class
prefix finetuning_task problem_type task_specific_params id2label label2id num_labels _num_labels
classif_dropout classifier_dropout classifier_dropout_prob seq_classif_dropout qa_dropout
encoder_layerdrop decoder_layerdrop _attn_implementation attn_implementation _commit_hash
bos_token_id eos_token_id pad_token_id sep_token_id cls_token_id mask_token_id
decoder_start_token_id output_past model_max_length pretraining_tp chunk_size_feed_forward
_attn_implementation_autoset _attn_implementation_internal _use_sdpa eos_token_ids
_flash_attn_2_enabled
"""
"""What the library notes of itself, and how it trains and returns things."""

_OF_GENERATION = """
max_length min_length max_new_tokens do_sample early_stopping num_beams num_beam_groups
num_return_sequences diversity_penalty temperature top_k top_p typical_p repetition_penalty
length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids remove_invalid_values
exponential_decay_length_penalty suppress_tokens begin_suppress_tokens forced_bos_token_id
forced_eos_token_id output_scores return_dict_in_generate
"""
"""How it would draw tokens: whoever generates says that anew."""

_OF_PUBLISHERS = """
tie_weights_ is_llama_config directionality pooler_fc_size pooler_num_attention_heads
pooler_num_fc_layers pooler_size_per_head pooler_type transformers.js_config language name
predict_special_tokens save_step replacing_rate student_encoder_layers student_decoder_layers
force_bos_token_to_be_generated gradient_checkpointing adapters sentence_transformers
sbert_ce_default_activation_function unsloth_fixed unsloth_version xla_device
vocab_size_or_config_json_file
"""
"""What those who trained or converted well-known checkpoints noted for programs of their own, and no code of
these families reads."""

IRRELEVANT = frozenset((_OF_THE_LIBRARY + _OF_GENERATION + _OF_PUBLISHERS).split())
"""Keys that change nothing of what a model makes of its input, or are read where they matter."""

_ONLY_VALUES: dict[str, Any] = {
    "cross_attention_hidden_size": None,
    "is_encoder_decoder": False,
    "tie_encoder_decoder": False,
    "attention_bias": False,
    "mlp_bias": False,
    "sliding_window": None,
    "use_sliding_window": False,
    "use_mrope": False,
    "rope_interleaved": False,
    "use_qk_norm": False,
    "pruned_heads": {},
    "sparsify": None,
    "quantization_config": None,
    "auto_map": None,
}
"""Keys with which only one value is what it would be without them."""

_DECODER_KEYS: dict[str, str] = {
    "is_decoder": "it is an encoder that sees no more than what stands before, for which there is no task",
    "add_cross_attention": "it is half of a model, which reads vectors that another half makes",
}
"""Keys that are supported as false only, and what a model is with which they are true."""

_OF_TANH = "gelu_new gelu_fast gelu_pytorch_tanh gelu_python_tanh gelu_accurate"
_ACTIVATIONS: dict[str, Activation] = {
    **{name.replace("-", "_"): name for name in get_args(Activation) if name != "gelu-tanh"},
    **dict.fromkeys(_OF_TANH.split(), "gelu-tanh"),
    "gelu_python": "gelu",
    "swish": "silu",
}


class Keys:
    """See the module's docstring."""

    def __init__(
        self,
        config: Mapping[str, Any],
        where: Path | str,
        limit: int,
        blocks: int = 0,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        """`limit`: no size of the model can exceed it. `blocks`: nor can its stacks have more. `defaults`:
        what counts where a key is missing that nobody gives another value for then."""
        self._defaults = dict(defaults or {})
        self._config, self.where, self._limit, self._blocks = dict(config), where, limit, blocks
        self._taken: set[str] = set(IRRELEVANT)

    def refuse(self, name: str, why: str, *limit: object, remedy: str | None = None) -> CheckpointError:
        """What to raise when the value of a key cannot be imported. As `refusal`."""
        value = self._config.get(name)
        if value is None and name in self._defaults:
            sentence = "{where}: '{key}' is missing, so {value}; " + why
            return CheckpointError(sentence, self.where, name, self._defaults[name], *limit)
        return refusal(self.where, name, value, why, *limit, remedy=remedy)

    def __contains__(self, name: str) -> bool:
        return self._config.get(name) is not None

    def says(self, name: str) -> bool:
        """Whether it is there, be it as null."""
        return name in self._config

    def any(self, name: str) -> Any:
        self._taken.add(name)
        return self._config.get(name)

    def ignore(self, *names: str) -> None:
        """Take keys that change nothing."""
        self._taken.update(names)

    def size(self, name: str, default: int | None = None) -> int:
        """How many there are of something; the weights must have room for that many."""
        return self._up_to(self._limit, name, default)

    def depth(self, name: str, default: int | None = None) -> int:
        """How many blocks a stack has, each of which takes time to be made, whatever its size."""
        return self._up_to(self._blocks, name, default)

    def whole(self, name: str, default: int | None = None, least: int = 0) -> int:
        value = self._present(name, default)
        if type(value) is not int or not least <= value < 1 << 31:
            raise self.refuse(name, "it must be an integer, {limit} or more", least)
        return value

    def number(
        self, name: str, default: float | None = None, least: float = 0.0, most: float = math.inf
    ) -> float:
        value = self._present(name, default)
        if type(value) not in (int, float) or not math.isfinite(value) or not least <= value <= most:
            raise self.refuse(name, "it must be a number from {least:g} to {limit:g}", least, most)
        return float(value)

    def rate(self, name: str, default: float = 0.0) -> float:
        """A probability of dropping something."""
        value = self.number(name, default)
        if not value < 1:
            raise self.refuse(name, "it must be less than {limit}", 1)
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self._present(name, default)
        if type(value) is not bool:
            raise self.refuse(name, "it must be {limit}", "true or false")
        return value

    def only(self, name: str, wanted: T, why: str) -> T:
        """A key of which one value is supported, which is also what its absence means."""
        self._taken.add(name)
        value = self._config.get(name, wanted)
        if value != wanted or isinstance(value, bool) != isinstance(wanted, bool):
            raise self.refuse(name, "only {limit} is supported: {why}", as_json(wanted), why)
        return wanted

    def activation(self, name: str, default: str) -> Activation:
        value = self._present(name, default)
        if not isinstance(value, str) or value not in _ACTIVATIONS:
            raise self.refuse(name, "known are {limit}", ", ".join(_ACTIVATIONS))
        return _ACTIVATIONS[value]

    def ids(self, name: str, count: int = 1 << 31) -> tuple[int, ...]:
        """A token id, or several, or none, all below `count`."""
        found = as_ids(self._config.get(name), count)
        if found is None:
            raise self.refuse(name, "it must be ids below {limit:,}, or null", count)
        return tuple(found)

    def labels(self, count: int) -> list[str]:
        """The names of the classes, in order, all of them different: a name that is there again (as
        ImageNet's second crane) or is empty is told apart by its number."""
        names = self._config.get("id2label") or {str(i): f"LABEL_{i}" for i in range(count)}
        good = isinstance(names, dict) and all(isinstance(names.get(str(i)), str) for i in range(count))
        if not good or len(names) != count:
            raise self.refuse("id2label", "it must name {limit} classes, from '0' on", count)
        found: dict[str, None] = {}
        for index in range(count):
            name = names[str(index)].strip()
            while not name or name in found:
                name = f"{name} ({index})".strip()
            found[name] = None
        return list(found)

    def finish(self) -> None:
        """Refuse what nobody took. Raises: CheckpointError."""
        self._taken.add("tie_word_embeddings")  # of a model without a table that a head could share
        kinds = self._config.get("layer_types")
        if isinstance(kinds, list) and all(kind == "full_attention" for kind in kinds):
            self._taken.add("layer_types")  # as it is without them
        for name, why in _DECODER_KEYS.items():
            if self.any(name):
                raise self.refuse(name, why)
        for name, wanted in _ONLY_VALUES.items():
            if name not in self._taken:
                self.only(name, wanted, "the rest is not known here") if self._config.get(name) else None
                self._taken.add(name)
        for name in self._config:
            if name not in self._taken:
                hint = nearest(name, self._taken - IRRELEVANT)
                why = "that key is not known, and might change what the model computes"
                raise self.refuse(name, why, remedy=hint)

    def _up_to(self, most: int, name: str, default: int | None) -> int:
        value = self._present(name, default)
        if type(value) is not int or not 1 <= value <= most:
            raise self.refuse(
                name, "it must be an integer from 1 to {limit}, or the weights are others", most
            )
        return value

    def _present(self, name: str, default: Any) -> Any:
        self._taken.add(name)
        value = self._config.get(name)
        default = self._defaults.get(name) if default is None else default
        if value is not None:
            return value
        if default is None:
            raise CheckpointError("{where}: '{key}' is missing", self.where, name)
        self._defaults[name] = default
        return default


IDS = "a token id, a list of them, or null"


def as_ids(value: Any, count: int = 1 << 31) -> list[int] | None:
    """A token id, several, or none (null), all below `count`; None for anything else."""
    found = value if isinstance(value, list) else [] if value is None else [value]
    return list(found) if all(type(index) is int and 0 <= index < count for index in found) else None


def activation_name(activation: Activation) -> str:
    """What other libraries call it."""
    return {"gelu-tanh": "gelu_new"}.get(activation, activation.replace("-", "_"))


def refusal(
    where: Path | str, key: str, value: Any, why: str, *limit: object, remedy: str | None = None
) -> CheckpointError:
    """The error for a key of a file whose value cannot be imported. `why`: a clause, and `limit` what it
    names, as what would be right."""
    sentence = "{where}: '{key}' is {value}; " + why
    return CheckpointError(sentence, where, key, as_json(value), *limit, remedy=remedy)


def as_json(value: Any) -> str:
    """A value as its file has it, or the beginning of it."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"
