"""The forms in which tokenizers are published, tiny ones trained here, and how many texts are cut otherwise.

`python -m tests.interop.published_tokenizers` writes their table of `docs/checkpoints.md`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.interop.published import PAGE
from tests.interop.tokenizer_folders import (
    FORMS,
    JSON_FORMS,
    differing,
    marian,
    saved_again,
    varied,
    write,
)

_BEGIN, _END = "<!-- written by tests/interop/published_tokenizers.py -->", "<!-- end of tokenizers -->"
COUNT = 300

PUBLISHED = {
    "vocab.txt": "BERT and MiniLM uncased, BGE, E5, MS MARCO cross-encoders",
    "vocab.txt, cased": "BERT cased and multilingual, Chinese",
    "vocab.txt, accents": "BERTs that keep accents and do not part Chinese characters",
    "vocab.txt, distilbert": "DistilBERT",
    "vocab.txt, electra": "ELECTRA",
    "vocab.txt, mpnet": "MPNet, all-mpnet-base-v2",
    "gpt2": "GPT-2, DistilGPT2, DialoGPT",
    "gpt2, prefix": "GPT-2 with `add_prefix_space`",
    "roberta": "RoBERTa and what is fine-tuned from it",
    "bart": "BART, DistilBART",
    "qwen2": "Qwen2.5, Qwen3, DeepSeek-R1-Distill-Qwen",
    "t5": "T5, Flan-T5",
    "mt5": "mT5",
    "xlm-roberta": "XLM-R, multilingual E5, BGE-M3",
    "camembert": "CamemBERT",
    "llama": "Llama 2, TinyLlama",
    "llama, begun": "Vicuna: Llama's with `add_bos_token`",
    "llama, spaces": "Llama's with pieces of white space alone",
    "llama, normalised": "Llama's whose model normalises, which the class does not",
    "llama, bare": "Llama's whose model puts no space before a text, which the class does",
    "t5, bare": "T5's whose model puts no space before a text, which the class does",
    "xlm-roberta, spaces": "XLM-R's with pieces of white space alone, not normalised",
    "llama, legacy": "Llama's with `legacy`",
    "llama, marks": "Llama's with marks of turns and tools of its own, as Mistral's",
    "tokenizer.json, llama 3": "Llama 3",
    "tokenizer.json, smollm": "SmolLM2",
    "tokenizer.json, llama": "Llama 2, Mistral v0.1, TinyLlama",
    "marian": "OPUS-MT",
}
"""Who publishes tokenizers of a form."""


def table() -> str:
    """Each form, and how many texts differ as the folder is and with the `tokenizer.json` that transformers
    writes, in Markdown."""
    lines = [
        f"| form | published by | older files: differ, of {COUNT} | `tokenizer.json`: differ, of {COUNT} |",
        "| --- | --- | --- | --- |",
    ]
    texts = varied(COUNT)
    for form, whose in PUBLISHED.items():
        with tempfile.TemporaryDirectory() as folder:
            if form == "marian":
                there, size = marian(Path(folder))
                files, json = str(len(differing(there, form, texts, size))), ""
            elif form in JSON_FORMS:
                files, json = "", str(len(differing(write(Path(folder), JSON_FORMS[form]()), form, texts)))
            else:
                there = write(Path(folder), FORMS[form]())
                files = str(len(differing(there, form, texts)))
                json = str(len(differing(saved_again(there), form, texts)))
        lines.append(f"| {form.removeprefix('tokenizer.json, ')} | {whose} | {files} | {json} |")
    return "\n".join(lines)


if __name__ == "__main__":
    before, _, rest = PAGE.read_text("utf-8").partition(_BEGIN)
    PAGE.write_text(f"{before}{_BEGIN}\n\n{table()}\n\n{_END}{rest.partition(_END)[2]}", "utf-8")
