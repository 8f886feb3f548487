"""The chat template of a model that was trained elsewhere: a dialogue as the text that it has learned.

Such a template is a Jinja program in a checkpoint's `tokenizer_config.json` or `chat_template.jinja`. It runs
in Jinja's sandbox, which gives it the messages and nothing else: it may not reach into Python's objects, nor
change what it is given.

Differs: in the reference library a turn may contain the text of a special token, and so speak in another's
name. Here it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence, Sized
from datetime import datetime
from functools import cached_property
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from regard.data.readers.messages import Message
from regard.data.tokenizer_given import GivenTokenizer
from regard.errors import InputError, TokenizerError

_LONGEST, _MOST_MADE = 1 << 16, 1 << 20
"""Characters of a template, and of what it makes."""


class ChatTemplate:
    """A template with the tokenizer whose tokens it names."""

    def __init__(self, source: str, tokenizer: GivenTokenizer) -> None:
        """Raises: TokenizerError for what is no template."""
        if len(source) > _LONGEST:
            raise TokenizerError(f"the chat template has more than {_LONGEST:,} characters")
        self.source, self.tokenizer = source, tokenizer
        try:
            self._template = _Sandbox().from_string(source)
        except (TemplateError, RecursionError) as error:
            raise TokenizerError(f"the chat template is damaged: {error}") from error

    def text(self, dialogue: Sequence[Message]) -> str:
        """What the model reads before it answers. Raises: InputError when the template refuses it."""
        tokenizer = self.tokenizer
        made: list[str] = []
        size = 0
        try:
            for part in self._template.generate(
                messages=[turn._asdict() for turn in dialogue],
                add_generation_prompt=True,
                bos_token=tokenizer.name(tokenizer.bos),
                eos_token=tokenizer.name(tokenizer.eos),
                raise_exception=_refuse,
                strftime_now=lambda form: datetime.now().strftime(form),
                tools=None,
                documents=None,
            ):
                size += len(part)
                if size > _MOST_MADE:
                    raise InputError(f"the chat template makes more than {_MOST_MADE:,} characters of this")
                made.append(part)
        except InputError:
            raise
        except Exception as error:  # a template may fail as any program does
            raise InputError(f"the model's chat template does not take this dialogue: {error}") from error
        return "".join(made)

    def ids(self, dialogue: Sequence[Message]) -> list[int]:
        """The same as ids. Raises: InputError also for a turn that holds a special token."""
        for turn in dialogue:
            found = next((name for name in self._reserved if name in turn.content), None)
            if found is not None:
                raise InputError(
                    f"a turn holds '{found}', by which the model is told who speaks; leave it out"
                )
        return self.tokenizer.encode_framed(self.text(dialogue))

    @cached_property
    def _reserved(self) -> tuple[str, ...]:
        return self.tokenizer.added


class _Sandbox(ImmutableSandboxedEnvironment):
    """As the library that templates are written for sets it up, but without what would take all memory."""

    intercepted_binops = frozenset(("*", "**"))

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation])
        self.filters["tojson"] = _as_json

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        times = next((x for x in (left, right) if isinstance(x, int)), 0)
        sized = next((len(x) for x in (left, right) if isinstance(x, Sized)), 0)
        if operator == "**" or times * sized > _MOST_MADE:
            raise InputError("the model's chat template computes what no template needs")
        return super().call_binop(context, operator, left, right)


class _Generation(Extension):
    """`{% generation %}` … marks what the assistant says; it changes nothing of the text."""

    tags = {"generation"}  # noqa: RUF012  (as the base has it)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _as_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **how: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **how)


def _refuse(message: str) -> NoReturn:
    raise InputError(f"the model's chat template does not take this dialogue: {message}")
