"""Well-known published checkpoints: their configurations as their repositories state them, sizes scaled down.

What is kept of each is what tells it from others of its family: its class, the keys of its configuration, the
files beside it, and which of its weights are there. `python -m tests.interop.published` writes the table of
`docs/checkpoints.md`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from regard.errors import CheckpointError
from regard.interop import Imported, import_checkpoint
from tests.interop.families import ALL, randomised, write_files

PAGE = Path(__file__).parents[2] / "docs" / "checkpoints.md"
_BEGIN, _END = "<!-- written by tests/interop/published.py -->", "<!-- end -->"


@dataclass(frozen=True)
class Published:
    """One checkpoint."""

    name: str
    like: str
    """The case of `families.py` whose sizes it has."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the configuration that the model is made with."""
    said: Mapping[str, Any] = field(default_factory=dict)
    """Of `config.json` besides."""
    files: Mapping[str, Any] = field(default_factory=dict)
    """JSON files beside it."""
    kind: str = ""
    """The class that its weights were saved from, where that is another than the case's."""
    refused: str = ""
    """The key by which it is refused, and why a user bears it."""


_CHINESE = {
    "directionality": "bidi",
    "pooler_fc_size": 768,
    "pooler_num_attention_heads": 12,
    "pooler_num_fc_layers": 3,
    "pooler_size_per_head": 128,
    "pooler_type": "first_token_transform",
}
_ONE = {"num_labels": 1}
_IDENTITY = {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}
_POOLED = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True, "word_embedding_dimension": 21}
_STEPS = [
    {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
    for index, (path, kind) in enumerate(
        [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    )
]
_SENTENCES = {"modules.json": _STEPS, "1_Pooling/config.json": _POOLED}
_CHAT = {"do_sample": True, "temperature": 0.7, "top_k": 20, "top_p": 0.8}
_SUMMARY = {
    "length_penalty": 2.0,
    "max_length": 142,
    "min_length": 56,
    "no_repeat_ngram_size": 3,
    "num_beams": 4,
    "early_stopping": True,
    "forced_bos_token_id": 2,
    "forced_eos_token_id": 3,
    "decoder_start_token_id": 3,
}
_OLD_BART = {
    "add_bias_logits": False,
    "add_final_layer_norm": False,
    "normalize_before": False,
    "normalize_embedding": True,
    "static_position_embeddings": False,
    "extra_pos_embeddings": 2,
    "_num_labels": 3,
    "classif_dropout": 0.0,
    "output_past": True,
}
_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
_SUMMARISES = {
    "summary_activation": "gelu",
    "summary_last_dropout": 0.1,
    "summary_type": "first",
    "summary_use_proj": True,
}
_DEEPSET = {"language": "english", "name": "Roberta", "gradient_checkpointing": False}
_GPT2 = {
    "n_ctx": 43,
    "summary_activation": None,
    "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
}

CHECKPOINTS: tuple[Published, ...] = (
    Published("google-bert/bert-base-uncased", "bert", said={"gradient_checkpointing": False}),
    Published("google-bert/bert-base-chinese", "bert", said=_CHINESE),
    Published("google-bert/bert-base-multilingual-cased", "bert", said=_CHINESE),
    Published("google/bert_uncased_L-2_H-128_A-2", "bert", said={"architectures": None}),
    Published("sentence-transformers/all-MiniLM-L6-v2", "bert body", files=_SENTENCES),
    Published("BAAI/bge-small-en-v1.5", "bert body", files=_SENTENCES, said={"id2label": {"0": "LABEL_0"}}),
    Published("intfloat/e5-base-v2", "bert body", files=_SENTENCES),
    Published("cross-encoder/ms-marco-MiniLM-L6-v2", "bert classes", _ONE, _IDENTITY),
    Published("ProsusAI/finbert", "bert classes", {"num_labels": 3}),
    Published("nlptown/bert-base-multilingual-uncased-sentiment", "bert classes", said=_CHINESE),
    Published("deepset/bert-base-cased-squad2", "bert spans", said=_DEEPSET),
    Published(
        "dslim/bert-base-NER",
        "bert",
        kind="BertForTokenClassification",
        said={"_num_labels": 9},
    ),
    Published("FacebookAI/roberta-base", "roberta"),
    Published("FacebookAI/roberta-large-mnli", "roberta classes", said={"_num_labels": 3}),
    Published("cardiffnlp/twitter-roberta-base-sentiment-latest", "roberta classes"),
    Published("deepset/roberta-base-squad2", "roberta spans", said=_DEEPSET),
    Published("cross-encoder/stsb-roberta-base", "roberta classes", {**_ONE, "type_vocab_size": 1}),
    Published("FacebookAI/xlm-roberta-base", "XLMRoberta MaskedLM", said={"output_past": True}),
    Published("intfloat/multilingual-e5-base", "XLMRoberta Model", files=_SENTENCES),
    Published("BAAI/bge-m3", "XLMRoberta Model", files=_SENTENCES),
    Published("BAAI/bge-reranker-base", "XLMRoberta SequenceClassification", _ONE),
    Published(
        "papluca/xlm-roberta-base-language-detection",
        "XLMRoberta SequenceClassification",
        {"num_labels": 20},
        {"problem_type": "single_label_classification"},
    ),
    Published("deepset/xlm-roberta-base-squad2", "XLMRoberta QuestionAnswering", said=_DEEPSET),
    Published("almanach/camembert-base", "Camembert MaskedLM", said={"output_past": True}),
    Published("distilbert/distilbert-base-uncased", "distilbert", said={"tie_weights_": True}),
    Published(
        "distilbert/distilbert-base-uncased-finetuned-sst-2-english",
        "distilbert classes",
        {"num_labels": 2},
        {"tie_weights_": True, "finetuning_task": "sst-2", "output_past": True},
    ),
    Published(
        "distilbert/distilbert-base-cased-distilled-squad", "distilbert spans", said={"output_past": True}
    ),
    Published(
        "google/electra-base-discriminator",
        "Electra Model",
        kind="ElectraForPreTraining",
        said=_SUMMARISES,
    ),
    Published(
        "google/electra-small-discriminator",
        "Electra Model",
        {"embedding_size": 7},
        kind="ElectraForPreTraining",
        said=_SUMMARISES,
    ),
    Published("google/electra-small-generator", "Electra MaskedLM", {"embedding_size": 7}, _SUMMARISES),
    Published("deepset/electra-base-squad2", "Electra QuestionAnswering", said={**_SUMMARISES, **_DEEPSET}),
    Published("cross-encoder/ms-marco-electra-base", "Electra SequenceClassification", _ONE, _IDENTITY),
    Published("microsoft/mpnet-base", "MPNet MaskedLM"),
    Published(
        "sentence-transformers/all-mpnet-base-v2",
        "MPNet Model",
        said={"architectures": ["MPNetForMaskedLM"]},
        files=_SENTENCES,
    ),
    Published("openai-community/gpt2", "gpt2", said=_GPT2),
    Published("distilbert/distilgpt2", "gpt2", said={**_GPT2, "_num_labels": 1}),
    Published("microsoft/DialoGPT-medium", "gpt2", said=_GPT2),
    Published(
        "meta-llama/Llama-2-7b-hf", "llama multi-head, gelu", {"hidden_act": "silu"}, {"pretraining_tp": 1}
    ),
    Published("meta-llama/Llama-3.2-1B", "llama", {"tie_word_embeddings": True, "rope_parameters": _LLAMA3}),
    Published(
        "unsloth/Llama-3.2-1B-Instruct",
        "llama",
        {"tie_word_embeddings": True, "rope_parameters": _LLAMA3},
        {"unsloth_fixed": True, "unsloth_version": "2025.1"},
    ),
    Published(
        "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "llama", said={"rope_scaling": None, "pretraining_tp": 1}
    ),
    Published(
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "llama",
        {"tie_word_embeddings": True},
        {
            "is_llama_config": True,
            "rope_interleaved": False,
            "rope_scaling": None,
            "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}},
        },
    ),
    Published("mistralai/Mistral-7B-v0.1", "mistral", {"sliding_window": 4096}),
    Published("mistralai/Mistral-7B-Instruct-v0.3", "mistral without a window"),
    Published(
        "Qwen/Qwen2.5-0.5B-Instruct",
        "qwen2",
        {"tie_word_embeddings": True, "max_window_layers": 21},
        {"use_mrope": False},
        {"generation_config.json": {**_CHAT, "repetition_penalty": 1.1, "eos_token_id": [3, 4]}},
    ),
    Published("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "qwen2", {"max_window_layers": 21}),
    Published("Qwen/Qwen3-0.6B", "qwen3", {"tie_word_embeddings": True, "max_window_layers": 28}),
    Published("google-t5/t5-small", "t5", said={"output_past": True, "n_positions": 512}),
    Published("google/flan-t5-base", "t5 gated", {"tie_word_embeddings": False}, {"n_positions": 512}),
    Published("google/mt5-small", "mt5", said={"output_past": True}),
    Published(
        "facebook/bart-base", "bart", kind="BartModel", said={**_OLD_BART, **_SUMMARY, "min_length": 0}
    ),
    Published("facebook/bart-large-cnn", "bart", said={**_OLD_BART, **_SUMMARY}),
    Published(
        "sshleifer/distilbart-cnn-12-6",
        "bart",
        said={
            **_OLD_BART,
            **_SUMMARY,
            "force_bos_token_to_be_generated": True,
            "replacing_rate": 0,
            "save_step": 58,
            "student_decoder_layers": None,
            "student_encoder_layers": None,
        },
    ),
    Published(
        "facebook/bart-large-mnli",
        "bart",
        kind="BartForSequenceClassification",
        refused="architectures: classes read from a decoder have no task here",
    ),
    Published(
        "Helsinki-NLP/opus-mt-en-de",
        "marian",
        said={
            "bad_words_ids": [[0]],
            "num_beams": 6,
            "static_position_embeddings": True,
            "normalize_embedding": False,
            "add_bias_logits": False,
            "share_encoder_decoder_embeddings": True,
            "forced_eos_token_id": 3,
        },
    ),
    Published("google/vit-base-patch16-224", "vit"),
    Published("google/vit-base-patch16-224-in21k", "vit body"),
    Published("facebook/deit-base-distilled-patch16-224", "deit taught"),
    Published("facebook/dinov2-base", "dinov2 body", {"use_mask_token": True}),
    Published("facebook/dinov2-small-imagenet1k-1-layer", "dinov2"),
    Published("facebook/dinov2-with-registers-base", "registers body", {"num_register_tokens": 4}),
    Published("facebook/dinov2-with-registers-small-imagenet1k-1-layer", "registers"),
)


def written(entry: Published, folder: Path) -> None:
    """The checkpoint, scaled down, in a folder."""
    import transformers

    kind, config, options = ALL[entry.like]
    torch.manual_seed(len(entry.name))
    made = getattr(transformers, config)(**{**options, **entry.options})
    model = randomised(getattr(transformers, entry.kind or kind)(made).eval())
    model.save_pretrained(folder)
    write_files(entry.like, folder, made)
    said = json.loads((folder / "config.json").read_text("utf-8")) | dict(entry.said)
    (folder / "config.json").write_text(json.dumps(said), "utf-8")
    for name, content in entry.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content), "utf-8")
    if "generation_config.json" not in entry.files:
        (folder / "generation_config.json").unlink(missing_ok=True)  # that of the repository is `said`


def outcome(entry: Published, folder: Path) -> Imported | CheckpointError:
    """What became of it."""
    written(entry, folder / "there")
    try:
        return import_checkpoint(folder / "there", folder / "run")
    except CheckpointError as error:
        return error


def table() -> str:
    """Each checkpoint and what becomes of it, in Markdown."""
    lines = ["| checkpoint | becomes | largest difference from transformers |", "| --- | --- | --- |"]
    for entry in CHECKPOINTS:
        with tempfile.TemporaryDirectory() as folder:
            found = outcome(entry, Path(folder))
        if isinstance(found, CheckpointError):
            lines.append(f"| `{entry.name}` | refused: {entry.refused} | |")
        else:
            same = "none above 1e-5" if (found.difference or 0.0) < 1e-5 else f"{found.difference:.0e}"
            lines.append(f"| `{entry.name}` | `{found.task}` | {same} |")
    return "\n".join(lines)


if __name__ == "__main__":
    before, _, rest = PAGE.read_text("utf-8").partition(_BEGIN)
    PAGE.write_text(f"{before}{_BEGIN}\n\n{table()}\n\n{_END}{rest.partition(_END)[2]}", "utf-8")
