"""Low-rank adapters as a folder in the format of the library peft: what was learned, without the model.

    adapter_config.json          rank, alpha, which linears
    adapter_model.safetensors    `base_model.model.<linear>.lora_A.weight` (r, D), `.lora_B.weight` (F, r)

The names are those of this library's modules, so that `peft.PeftModel.from_pretrained(regard_model, folder)`
finds them. A head that was trained beside the adapters is in the file too.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from regard.errors import BundleError
from regard.files import atomic_files, write_json
from regard.model.lora import adapt, adapters, merge
from regard.strict_json import read_object
from regard.weights import read_weights, write_weights

if TYPE_CHECKING:
    from regard.training.tune import LoRA

__all__ = ["ADAPTER", "load_adapter", "save_adapter"]

ADAPTER = "adapter"
_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX, _HEAD = "base_model.model.", "head"
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"


def save_adapter(model: nn.Module, lora: LoRA, base: str, folder: Path) -> None:
    """Write what `lora` has learned in `model`; `base` names the bundle it was added to.

    Raises: StorageError.
    """
    tensors: dict[str, Tensor] = {}
    names = []
    for name, adapter in adapters(model):
        names.append(name)
        tensors[_PREFIX + name + _DOWN] = adapter.down
        tensors[_PREFIX + name + _UP] = adapter.up
    head = {
        name: value
        for name, value in model.named_parameters()
        if name.startswith(_HEAD + ".") and value.requires_grad
    }
    tensors.update({_PREFIX + name: value for name, value in head.items()})
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": base,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": names,
        "modules_to_save": [_HEAD] if head else None,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "task_type": None,
    }
    with atomic_files(folder, [_CONFIG, _WEIGHTS]) as writing:
        write_json(writing / _CONFIG, config)
        write_weights(writing / _WEIGHTS, tensors, shown=folder / _WEIGHTS)


@torch.no_grad()
def load_adapter(model: nn.Module, folder: str | Path) -> None:
    """Add to `model` what an adapter in this format says, wherever it was trained.

    Raises: BundleError when it is none, or it was made for another model.
    """
    place = Path(folder)
    config = _read_config(place / _CONFIG)
    tensors = read_weights(place / _WEIGHTS)
    names = [key[len(_PREFIX) : -len(_DOWN)] for key in tensors if key.endswith(_DOWN)]
    _check(model, names, tensors, config, place)
    adapt(model, names, config["r"], float(config["lora_alpha"]))
    for name, adapter in adapters(model):
        adapter.down.copy_(tensors.pop(_PREFIX + name + _DOWN))
        adapter.up.copy_(tensors.pop(_PREFIX + name + _UP))
    own = dict(model.named_parameters())
    for key, value in tensors.items():
        own[key.removeprefix(_PREFIX)].copy_(value)
    merge(model)


def _read_config(path: Path) -> dict[str, Any]:
    config = read_object(path, BundleError)
    if config.get("peft_type") != "LORA":
        sentence = "{where} does not describe a LoRA adapter: {key} is {value!r}; it must be {limit!r}"
        raise BundleError(sentence, path, "peft_type", config.get("peft_type"), "LORA")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if type(rank) is not int or rank < 1 or not isinstance(alpha, int | float) or isinstance(alpha, bool):
        sentence = "{where}: {key} are {value}; they must be {limit}"
        raise BundleError(sentence, path, "r and lora_alpha", f"{rank!r} and {alpha!r}", "numbers above 0")
    for key in _UNKNOWN:
        if config.get(key):
            sentence = "{where}: {key} is {value!r}, which is not supported; leave it out"
            raise BundleError(sentence, path, key, config[key])
    if config.get("bias", "none") != "none":
        sentence = "{where}: {key} is {value!r}; it must be {limit!r}"
        raise BundleError(sentence, path, "bias", config["bias"], "none")
    return config


_UNKNOWN = ("use_dora", "use_rslora", "fan_in_fan_out", "rank_pattern", "alpha_pattern", "lora_bias")
"""Options of peft that change what an adapter means."""


def _check(
    model: nn.Module, names: list[str], tensors: dict[str, Tensor], config: dict[str, Any], place: Path
) -> None:
    """Refuse what does not fit by name, before the model is touched."""
    modules, own, wanted = dict(model.named_modules()), dict(model.named_parameters()), set[str]()
    if not names:
        raise BundleError("{where} holds no adapters", place / _WEIGHTS)
    for name in names:
        linear = modules.get(name)
        if not isinstance(linear, nn.Linear):
            raise BundleError("{where}: the model has no linear '{key}' for an adapter", place, name)
        sizes = {_DOWN: (config["r"], linear.in_features), _UP: (linear.out_features, config["r"])}
        for end, shape in sizes.items():
            key = _PREFIX + name + end
            if key not in tensors or tuple(tensors[key].shape) != shape:
                sentence = "{where}: '{key}' must be there, of shape {limit}"
                raise BundleError(sentence, place / _WEIGHTS, key, list(shape))
            wanted.add(key)
    for key in set(tensors) - wanted:
        name = key.removeprefix(_PREFIX)
        if name not in own or own[name].shape != tensors[key].shape:
            raise BundleError("{where}: '{key}' is not a weight of the model", place / _WEIGHTS, key)
