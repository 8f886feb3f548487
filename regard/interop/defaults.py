"""What a configuration means where it is silent: the sizes that the classes of transformers 5 have then.

Only what no other key or weight says is here; this file does not know families.
"""

from __future__ import annotations

from collections.abc import Mapping

_BERT = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
}
_ELECTRA = {"hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024}
_LLAMA = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "intermediate_size": 11008,
}
_QWEN = {**_LLAMA, "vocab_size": 151936, "intermediate_size": 22016}
_MISTRAL = {**_LLAMA, "intermediate_size": 14336}
_T5 = {"vocab_size": 32128, "d_model": 512, "d_ff": 2048, "num_layers": 6, "num_heads": 8}
_BART = {
    "vocab_size": 50265,
    "d_model": 1024,
    "encoder_layers": 12,
    "decoder_layers": 12,
    "encoder_attention_heads": 16,
    "decoder_attention_heads": 16,
    "encoder_ffn_dim": 4096,
    "decoder_ffn_dim": 4096,
}
_VIT = {name: _BERT[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")}

DEFAULTS: Mapping[str, Mapping[str, int]] = {
    "bert": _BERT,
    "roberta": {**_BERT, "vocab_size": 50265},
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "electra": {**_BERT, **_ELECTRA},
    "mpnet": {**_BERT, "vocab_size": 30527},
    "distilbert": {
        "vocab_size": 30522,
        "dim": 768,
        "n_layers": 6,
        "n_heads": 12,
        "hidden_dim": 3072,
        "max_position_embeddings": 512,
    },
    "gpt2": {"vocab_size": 50257, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024},
    "llama": _LLAMA,
    "mistral": _MISTRAL,
    "ministral": _MISTRAL,
    "qwen2": _QWEN,
    "qwen3": _QWEN,
    "t5": _T5,
    "mt5": {**_T5, "vocab_size": 250112, "d_ff": 1024, "num_layers": 8, "num_heads": 6},
    "bart": _BART,
    "marian": {**_BART, "vocab_size": 58101},
    "vit": {**_VIT, "intermediate_size": 3072},
    "deit": {**_VIT, "intermediate_size": 3072},
    "dinov2": _VIT,
    "dinov2_with_registers": _VIT,
}
"""By the `model_type` of a configuration."""
