"""Low-rank adapters as a folder in the format of the library peft: what was learned, without the model.

    adapter_config.json          rank, alpha, which linears
    adapter_model.safetensors    `base_model.model.<linear>.lora_A.weight` (r, D), `.lora_B.weight` (F, r)

The names are those of this library's modules, so that `peft.PeftModel.from_pretrained(regard_model, folder)`
finds them. A head that was trained beside the adapters is in the file too.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from regard.files import atomic_files, write_json
from regard.model.lora import adapters
from regard.weights import write_weights

if TYPE_CHECKING:
    from regard.training.tune import LoRA

ADAPTER = "adapter"
_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX, _HEAD = "base_model.model.", "head"
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"


def save_adapter(model: nn.Module, lora: LoRA, base: str, folder: Path) -> None:
    """Write what `lora` has learned in `model`; `base` names the bundle it was added to.

    Raises: StorageError.
    """
    found = dict(adapters(model))
    tensors: dict[str, Tensor] = {}
    for name, adapter in found.items():
        tensors |= {_PREFIX + name + _DOWN: adapter.down, _PREFIX + name + _UP: adapter.up}
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
        "target_modules": list(found),
        "modules_to_save": [_HEAD] if head else None,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "task_type": None,
    }
    with atomic_files(folder, [_CONFIG, _WEIGHTS]) as writing:
        write_json(writing / _CONFIG, config)
        write_weights(writing / _WEIGHTS, tensors, shown=folder / _WEIGHTS)
