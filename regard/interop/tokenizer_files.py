"""The tokenizer of a bundle as files that other libraries read, so that texts are framed there as here.

What came with a checkpoint goes out as it came; what had to be converted, or was trained here, is given what
frames texts and pairs, and which of a model's inputs it makes.
"""

from __future__ import annotations

import json
from typing import Any

from tokenizers import Tokenizer as Backend
from tokenizers.processors import TemplateProcessing

from regard.bundle import Bundle
from regard.data.tokenizer import Tokenizer
from regard.data.tokenizer_given import GivenTokenizer
from regard.interop.family import Family, task_options
from regard.interop.origin import Origin
from regard.interop.vocabulary import TARGET
from regard.model.embed import Tokens
from regard.model.transformer import EncoderDecoderConfig, TransformerConfig

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"


def tokenizer_files(bundle: Bundle, family: Family, origin: Origin) -> tuple[dict[str, Any], dict[str, str]]:
    """The ids that a configuration names, and the files, of the bundle's tokenizers if it has some. The
    target's has a folder of its own where its ids are others than the source's."""
    found = {name: text for name, text in bundle.tokenizers.items() if name.startswith("tokenizer")}
    if not found:
        return {}, {}
    tokenizers = {name: Tokenizer.from_json(text) for name, text in found.items()}
    tokenizer = tokenizers[TOKENIZER]
    target = next((other for other in tokenizers.values() if _pieces(other) != _pieces(tokenizer)), None)
    settings = dict(origin.tokenizer)
    if "tokenizer_class" not in settings:  # where there is a class, its file said all that it needs
        settings = _configuration(tokenizer, bundle, family) | settings
    if (template := task_options(bundle).get("template")) is not None:
        settings["chat_template"] = template
    files = {
        TOKENIZER: _framing(tokenizer, bundle),
        TOKENIZER_CONFIG: json.dumps(settings, ensure_ascii=False, indent=2),
    }
    if target is not None:
        own = json.dumps(_configuration(target, bundle, family), ensure_ascii=False, indent=2)
        files |= {TARGET: _framing(target, bundle), TARGET.replace(TOKENIZER, TOKENIZER_CONFIG): own}
    return _ids(target or tokenizer, bundle), files


def _configuration(tokenizer: Tokenizer, bundle: Bundle, family: Family) -> dict[str, Any]:
    begin, end = family.frame
    begins = tokenizer.start if isinstance(bundle.model, EncoderDecoderConfig) else tokenizer.bos
    roles = {"pad": tokenizer.pad, begin: begins, end: tokenizer.eos, "mask": tokenizer.mask}
    if tokenizer.unk >= 0:
        roles["unk"] = tokenizer.unk
    names = {f"{role}_token": tokenizer.name(index) for role, index in roles.items() if index is not None}
    inputs = ["input_ids", *(["token_type_ids"] if _types(bundle) else []), "attention_mask"]
    return {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": inputs, **names}


def _types(bundle: Bundle) -> bool:
    """Whether the model is told which text of a pair a token is of."""
    model = bundle.model
    embed = model.embed if isinstance(model, TransformerConfig) else None
    types = embed.types if isinstance(embed, Tokens) else None
    return types is not None and types.separator is not None and types.count > 1


def _framing(tokenizer: Tokenizer, bundle: Bundle) -> str:
    """The tokenizer's file, so that it frames texts as the model has learned them. One that came with an
    imported model may do so already."""
    text = tokenizer.to_hf()
    backend = Backend.from_str(text)
    if isinstance(tokenizer, GivenTokenizer) and _frames(backend):
        return text
    model = bundle.model
    two_stacks = isinstance(model, EncoderDecoderConfig)
    writes = isinstance(model, TransformerConfig) and not model.stack.mask.sees_all
    first = tokenizer.start if two_stacks else tokenizer.bos
    if writes and isinstance(tokenizer, GivenTokenizer) and not tokenizer.spec.begins:
        first = None
    begin = [] if first is None else [tokenizer.name(first)]
    end = [] if writes else [tokenizer.name(tokenizer.eos)]
    if isinstance(tokenizer, GivenTokenizer) and not begin and not end:
        return text
    second = 1 if _types(bundle) else 0
    between = [tokenizer.name(index) for index in tokenizer.between]
    special = {tokenizer.name(index): index for index in (first, tokenizer.eos) if index is not None}
    backend.post_processor = TemplateProcessing(
        single=[*begin, "$A", *end],
        pair=[*begin, "$A", *between, f"$B:{second}", *(f"{name}:{second}" for name in end)],
        special_tokens=list(special.items()),
    )
    return backend.to_str(pretty=True)


def _frames(backend: Backend) -> bool:
    """Whether it puts anything around a text, or between two."""
    post = backend.post_processor
    return post is not None and post.num_special_tokens_to_add(is_pair=True) > 0


def _pieces(tokenizer: Tokenizer) -> list[str]:
    return tokenizer.pieces(range(tokenizer.size))


def _ids(tokenizer: Tokenizer, bundle: Bundle) -> dict[str, Any]:
    others = sorted(tokenizer.ends - {tokenizer.eos})
    ids: dict[str, Any] = {
        "pad_token_id": tokenizer.pad,
        "bos_token_id": tokenizer.bos,
        "eos_token_id": [tokenizer.eos, *others] if others else tokenizer.eos,
    }
    if isinstance(bundle.model, EncoderDecoderConfig):  # `bos` is what the decoder begins with
        ids |= {"bos_token_id": tokenizer.start, "decoder_start_token_id": tokenizer.bos}
    return ids
