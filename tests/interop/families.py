"""Tiny checkpoints of every family and option, with random weights, written by the reference library."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, models, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

V, D, HIDDEN, DEPTH, HEADS, LONGEST = 37, 21, 29, 2, 3, 43
"""Ids, width, hidden width, blocks, heads and positions: no two alike, so that a swapped axis fails."""
PAD, UNK, BOS, EOS, MASK = range(5)
WORDS = [f"w{index}" for index in range(5, V)]

_BERT = {
    "vocab_size": V,
    "hidden_size": D,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": HEADS,
    "intermediate_size": HIDDEN,
    "max_position_embeddings": LONGEST,
}
_LIKE_BERT: dict[str, dict[str, Any]] = {
    "XLMRoberta": {**_BERT, "type_vocab_size": 1, "pad_token_id": 1},
    "Camembert": {**_BERT, "type_vocab_size": 1, "pad_token_id": 1},
    "Electra": {**_BERT, "embedding_size": D},
    "Electra, narrower before": {**_BERT, "embedding_size": 11},
    "MPNet": {**_BERT, "pad_token_id": 1},
}
_DISTIL = {
    "vocab_size": V,
    "dim": D,
    "n_layers": DEPTH,
    "n_heads": HEADS,
    "hidden_dim": HIDDEN,
    "max_position_embeddings": LONGEST,
}
_GPT2 = {
    "vocab_size": V,
    "n_embd": D,
    "n_layer": DEPTH,
    "n_head": HEADS,
    "n_positions": LONGEST,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "pad_token_id": PAD,
}
_LLAMA = {
    "vocab_size": V,
    "hidden_size": 30,
    "intermediate_size": HIDDEN,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 10,
    "max_position_embeddings": LONGEST,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "pad_token_id": PAD,
}
_T5 = {
    "vocab_size": V,
    "d_model": D,
    "d_kv": 7,
    "d_ff": HIDDEN,
    "num_layers": DEPTH,
    "num_decoder_layers": 3,
    "num_heads": 5,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 11,
    "decoder_start_token_id": PAD,
    "pad_token_id": PAD,
    "eos_token_id": EOS,
}
_BART = {
    "vocab_size": V,
    "d_model": D,
    "encoder_layers": DEPTH,
    "decoder_layers": 3,
    "encoder_attention_heads": HEADS,
    "decoder_attention_heads": 7,
    "encoder_ffn_dim": HIDDEN,
    "decoder_ffn_dim": 31,
    "max_position_embeddings": LONGEST,
    "pad_token_id": PAD,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "forced_eos_token_id": None,
}
_YARN = {"rope_type": "yarn", "rope_theta": 500.0, "factor": 4.0, "original_max_position_embeddings": 11}
_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 13,
}

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("BertForMaskedLM", "BertConfig", _BERT),
    "bert relu": ("BertForMaskedLM", "BertConfig", {**_BERT, "hidden_act": "relu", "layer_norm_eps": 1e-3}),
    "bert untied": ("BertForMaskedLM", "BertConfig", {**_BERT, "tie_word_embeddings": False}),
    "bert one type": ("BertForMaskedLM", "BertConfig", {**_BERT, "type_vocab_size": 1}),
    "bert pretraining": ("BertForPreTraining", "BertConfig", _BERT),
    "bert classes": ("BertForSequenceClassification", "BertConfig", {**_BERT, "num_labels": 5}),
    "bert spans": ("BertForQuestionAnswering", "BertConfig", _BERT),
    "bert tokens": ("BertForTokenClassification", "BertConfig", {**_BERT, "num_labels": 5}),
    "bert body": ("BertModel", "BertConfig", _BERT),
    "roberta": ("RobertaForMaskedLM", "RobertaConfig", {**_BERT, "type_vocab_size": 1, "pad_token_id": 1}),
    "roberta gelu-tanh": (
        "RobertaForMaskedLM",
        "RobertaConfig",
        {**_BERT, "hidden_act": "gelu_new", "pad_token_id": 1},
    ),
    "roberta classes": (
        "RobertaForSequenceClassification",
        "RobertaConfig",
        {**_BERT, "num_labels": 3, "pad_token_id": 1},
    ),
    "roberta spans": (
        "RobertaForQuestionAnswering",
        "RobertaConfig",
        {**_BERT, "pad_token_id": 1, "type_vocab_size": 1},
    ),
    "roberta tokens": (
        "RobertaForTokenClassification",
        "RobertaConfig",
        {**_BERT, "num_labels": 3, "pad_token_id": 1},
    ),
    "roberta body": ("RobertaModel", "RobertaConfig", {**_BERT, "pad_token_id": 1}),
    "roberta whose second type nothing reads": (
        "RobertaForMaskedLM",
        "RobertaConfig",
        {**_BERT, "type_vocab_size": 3, "pad_token_id": 1},
    ),
    "roberta padded with another id": ("RobertaForMaskedLM", "RobertaConfig", {**_BERT, "pad_token_id": 4}),
    "xlm-roberta padded with 0": ("XLMRobertaForMaskedLM", "XLMRobertaConfig", {**_BERT, "pad_token_id": 0}),
    **{
        f"{name} {kind}": (
            f"{name.partition(',')[0]}For{kind}" if kind != "Model" else f"{name.partition(',')[0]}Model",
            f"{name.partition(',')[0]}Config",
            {**options, "num_labels": 5} if kind == "TokenClassification" else options,
        )
        for name, options in _LIKE_BERT.items()
        for kind in (
            "MaskedLM",
            "SequenceClassification",
            "QuestionAnswering",
            "TokenClassification",
            "Model",
        )
    },
    "Electra untied, narrower before": (
        "ElectraForMaskedLM",
        "ElectraConfig",
        {**_BERT, "embedding_size": 11, "tie_word_embeddings": False},
    ),
    "distilbert": ("DistilBertForMaskedLM", "DistilBertConfig", _DISTIL),
    "distilbert classes": (
        "DistilBertForSequenceClassification",
        "DistilBertConfig",
        {**_DISTIL, "num_labels": 5},
    ),
    "distilbert spans": ("DistilBertForQuestionAnswering", "DistilBertConfig", _DISTIL),
    "distilbert tokens": (
        "DistilBertForTokenClassification",
        "DistilBertConfig",
        {**_DISTIL, "num_labels": 5},
    ),
    "distilbert body": ("DistilBertModel", "DistilBertConfig", _DISTIL),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", _GPT2),
    "gpt2 untied, other widths": (
        "GPT2LMHeadModel",
        "GPT2Config",
        {**_GPT2, "tie_word_embeddings": False, "n_inner": HIDDEN, "activation_function": "gelu"},
    ),
    "gpt2, scores scaled otherwise": (
        "GPT2LMHeadModel",
        "GPT2Config",
        {**_GPT2, "scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True},
    ),
    "llama": ("LlamaForCausalLM", "LlamaConfig", _LLAMA),
    "llama tied, biases": (
        "LlamaForCausalLM",
        "LlamaConfig",
        {**_LLAMA, "tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True},
    ),
    "llama multi-head, gelu": (
        "LlamaForCausalLM",
        "LlamaConfig",
        {**_LLAMA, "num_key_value_heads": None, "hidden_act": "gelu", "rms_norm_eps": 1e-3},
    ),
    "llama linear": (
        "LlamaForCausalLM",
        "LlamaConfig",
        {**_LLAMA, "rope_parameters": {"rope_type": "linear", "rope_theta": 100.0, "factor": 3.0}},
    ),
    "llama llama3": ("LlamaForCausalLM", "LlamaConfig", {**_LLAMA, "rope_parameters": _LLAMA3}),
    "llama yarn": ("LlamaForCausalLM", "LlamaConfig", {**_LLAMA, "rope_parameters": _YARN}),
    "llama yarn, all said": (
        "LlamaForCausalLM",
        "LlamaConfig",
        {
            **_LLAMA,
            "rope_parameters": {
                **_YARN,
                "beta_fast": 4.0,
                "beta_slow": 0.5,
                "truncate": False,
                "attention_factor": 1.7,
            },
        },
    ),
    "mistral": ("MistralForCausalLM", "MistralConfig", {**_LLAMA, "sliding_window": 5}),
    "mistral without a window": ("MistralForCausalLM", "MistralConfig", {**_LLAMA, "sliding_window": None}),
    "ministral": (
        "MinistralForCausalLM",
        "MinistralConfig",
        {
            **_LLAMA,
            "num_hidden_layers": 3,
            "sliding_window": 3,
            "layer_types": ["full_attention", "sliding_attention", "sliding_attention"],
        },
    ),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", {**_LLAMA, "hidden_size": 60}),
    "qwen2 with windows": (
        "Qwen2ForCausalLM",
        "Qwen2Config",
        {
            **_LLAMA,
            "hidden_size": 60,
            "use_sliding_window": True,
            "sliding_window": 4,
            "max_window_layers": 0,
            "tie_word_embeddings": True,
        },
    ),
    "qwen2 with windows in its upper layers": (
        "Qwen2ForCausalLM",
        "Qwen2Config",
        {
            **_LLAMA,
            "num_hidden_layers": 3,
            "use_sliding_window": True,
            "sliding_window": 4,
            "max_window_layers": 2,
        },
    ),
    "qwen3 with windows in every other layer": (
        "Qwen3ForCausalLM",
        "Qwen3Config",
        {
            **_LLAMA,
            "num_hidden_layers": 5,
            "use_sliding_window": True,
            "sliding_window": 3,
            "layer_types": [*(["sliding_attention", "full_attention"] * 2), "sliding_attention"],
        },
    ),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", _LLAMA),
    "qwen3 biases": (
        "Qwen3ForCausalLM",
        "Qwen3Config",
        {**_LLAMA, "attention_bias": True, "tie_word_embeddings": True},
    ),
    "t5": ("T5ForConditionalGeneration", "T5Config", _T5),
    "t5 gated": (
        "T5ForConditionalGeneration",
        "T5Config",
        {**_T5, "feed_forward_proj": "gated-gelu", "num_decoder_layers": None},
    ),
    "t5 gated silu": (
        "T5ForConditionalGeneration",
        "T5Config",
        {**_T5, "feed_forward_proj": "gated-silu", "layer_norm_epsilon": 1e-3},
    ),
    "t5 of buckets that halves do not part": (
        "T5ForConditionalGeneration",
        "T5Config",
        {**_T5, "relative_attention_num_buckets": 7, "relative_attention_max_distance": 5},
    ),
    "mt5": (
        "MT5ForConditionalGeneration",
        "MT5Config",
        {**_T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    ),
    "marian": (
        "MarianMTModel",
        "MarianConfig",
        {
            **_BART,
            "decoder_start_token_id": PAD,
            "scale_embedding": True,
            "activation_function": "swish",
        },
    ),
    "marian, whose embedding is not scaled": (
        "MarianMTModel",
        "MarianConfig",
        {**_BART, "decoder_start_token_id": PAD},
    ),
    "marian with a table for each side": (
        "MarianMTModel",
        "MarianConfig",
        {**_BART, "decoder_start_token_id": PAD, "share_encoder_decoder_embeddings": False},
    ),
    "marian with a longer target vocabulary": (
        "MarianMTModel",
        "MarianConfig",
        {
            **_BART,
            "decoder_start_token_id": PAD,
            "share_encoder_decoder_embeddings": False,
            "decoder_vocab_size": V + 4,
        },
    ),
    "bart": ("BartForConditionalGeneration", "BartConfig", {**_BART, "decoder_start_token_id": EOS}),
    "bart untied": (
        "BartForConditionalGeneration",
        "BartConfig",
        {**_BART, "decoder_start_token_id": EOS, "tie_word_embeddings": False},
    ),
    "bart scaled": (
        "BartForConditionalGeneration",
        "BartConfig",
        {**_BART, "decoder_start_token_id": EOS, "scale_embedding": True},
    ),
}

CHANNELS, SIDE, PATCH, K = 3, 35, 7, 5
"""Of images: channels, pixels along a side and along a patch; classes."""
_IMAGE = {
    "hidden_size": D,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": HEADS,
    "image_size": SIDE,
    "patch_size": PATCH,
    "num_channels": CHANNELS,
    "num_labels": K,
}
_VIT = {**_IMAGE, "intermediate_size": HIDDEN}
_DINO = {**_IMAGE, "mlp_ratio": 2}

IMAGES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "vit": ("ViTForImageClassification", "ViTConfig", _VIT),
    "vit grey, not square, without biases": (
        "ViTForImageClassification",
        "ViTConfig",
        {**_VIT, "num_channels": 1, "image_size": [35, 21], "qkv_bias": False, "hidden_act": "relu"},
    ),
    "deit": ("DeiTForImageClassification", "DeiTConfig", _VIT),
    "deit taught": ("DeiTForImageClassificationWithTeacher", "DeiTConfig", {**_VIT, "layer_norm_eps": 1e-3}),
    "dinov2": ("Dinov2ForImageClassification", "Dinov2Config", _DINO),
    "vit body": ("ViTModel", "ViTConfig", _VIT),
    "deit body": ("DeiTModel", "DeiTConfig", _VIT),
    "dinov2 body": ("Dinov2Model", "Dinov2Config", _DINO),
    "registers": ("Dinov2WithRegistersForImageClassification", "Dinov2WithRegistersConfig", _DINO),
    "two registers": (
        "Dinov2WithRegistersForImageClassification",
        "Dinov2WithRegistersConfig",
        {**_DINO, "num_register_tokens": 2},
    ),
    "no registers": (
        "Dinov2WithRegistersForImageClassification",
        "Dinov2WithRegistersConfig",
        {**_DINO, "num_register_tokens": 0},
    ),
    "registers body": (
        "Dinov2WithRegistersModel",
        "Dinov2WithRegistersConfig",
        {**_DINO, "num_register_tokens": 2},
    ),
    "dinov2 gated": (
        "Dinov2ForImageClassification",
        "Dinov2Config",
        {**_DINO, "use_swiglu_ffn": True, "use_mask_token": False, "layerscale_value": 0.5},
    ),
}
"""Those that look at images."""
OTHERS = {
    "bert of one output": ("BertForSequenceClassification", "BertConfig", {**_BERT, "num_labels": 1}),
    "vit of one output": ("ViTForImageClassification", "ViTConfig", {**_VIT, "num_labels": 1}),
}
"""Those that have tests of their own."""
ALL = CASES | IMAGES | OTHERS


def preprocessor(config: Any, **changes: Any) -> dict[str, Any]:
    """How the library makes images of the size that a model's configuration says."""
    size = config.image_size
    rows, columns = size if isinstance(size, list | tuple) else (size, size)
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": rows, "width": columns},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.4, 0.3][: config.num_channels],
        "image_std": [0.2, 0.25, 0.5][: config.num_channels],
    } | changes


def tokenizer_json(size: int = V) -> str:
    """Words between spaces, framed as BERT frames them."""
    names = ["<pad>", "<unk>", "<s>", "</s>", "<mask>", *WORDS][:size]
    backend = Backend(models.WordLevel({name: index for index, name in enumerate(names)}, "<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=[("<s>", BOS), ("</s>", EOS)]
    )
    backend.add_special_tokens([AddedToken(name, special=True) for name in names[:5]])
    return backend.to_str()


def write_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text(tokenizer_json(), "utf-8")
    roles = {"pad": PAD, "unk": UNK, "cls": BOS, "sep": EOS, "bos": BOS, "eos": EOS, "mask": MASK}
    names = ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
    said = {f"{role}_token": names[index] for role, index in roles.items()}
    (folder / "tokenizer_config.json").write_text(json.dumps(said), "utf-8")


_DEPTHS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers", "num_decoder_layers")
_DEPTHS += ("encoder_layers", "decoder_layers")


def checkpoint(
    name: str, folder: Path, change: Callable[[Any], None] | None = None, depth: int | None = None
) -> Any:
    """Write the case's checkpoint into `folder`, with so many blocks; returns the model that it is of."""
    import transformers

    kind, config, options = ALL[name]
    if depth is not None:
        options = options | {key: depth for key in _DEPTHS if options.get(key)}
    torch.manual_seed(len(name))
    model = getattr(transformers, kind)(getattr(transformers, config)(**options)).eval()
    randomised(model)
    if change is not None:
        change(model)
    model.save_pretrained(folder)
    write_files(name, folder, model.config)
    return model


@torch.no_grad()
def randomised(model: Any) -> Any:
    """The same model, all of its weights drawn anew."""
    for key, parameter in model.named_parameters():
        if not (type(model).__name__ == "MarianMTModel" and "embed_positions" in key):  # sinusoids
            parameter.normal_(0, 0.3)
    for key, buffer in model.named_buffers():
        if key == "final_logits_bias":
            buffer.normal_(0, 0.3)
    return model


def write_files(name: str, folder: Path, config: Any) -> None:
    """What the case needs beside its weights."""
    if hasattr(config, "image_size"):
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor(config)), "utf-8")
    else:
        write_tokenizer(folder)
