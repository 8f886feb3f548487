"""The chat template of a model that was trained elsewhere: a dialogue as the text that it has learned.

Such a template is a Jinja program in a checkpoint's `tokenizer_config.json` or `chat_template.jinja`. It runs
in a sandbox (`template_sandbox.py`), which gives it the messages and nothing else: it may not reach into
Python's objects, nor change what it is given.

Differs: in the reference library a turn may contain the text of a special token, and so speak in another's
name. Here it is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NoReturn

from regard.data.readers.messages import Message
from regard.data.tokenizer_given import GivenTokenizer
from regard.errors import InputError, TokenizerError, damaged
from regard.tasks.template_sandbox import Sandbox, bounded

_LONGEST, _MOST_MADE = 1 << 16, 1 << 20
"""Characters of a template, and of what it makes."""


class ChatTemplate:
    """A template with the tokenizer whose tokens it names."""

    def __init__(self, source: str, tokenizer: GivenTokenizer) -> None:
        """Raises: TokenizerError for what is no template."""
        if len(source) > _LONGEST:
            raise TokenizerError("the {where} has more than {limit:,} characters", "chat template", _LONGEST)
        self.source, self.tokenizer = source, tokenizer
        try:
            with bounded():
                self._template = Sandbox().from_string(source)
        except Exception as error:  # a compiler of foreign programs may fail as any program does
            raise damaged(TokenizerError, "the chat template", error) from error

    def text(self, dialogue: Sequence[Message]) -> str:
        """What the model reads before it answers. Raises: InputError when the template refuses it."""
        tokenizer = self.tokenizer
        made: list[str] = []
        size = 0
        what = {
            "messages": [turn._asdict() for turn in dialogue],
            "add_generation_prompt": True,
            "bos_token": tokenizer.name(tokenizer.bos),
            "eos_token": tokenizer.name(tokenizer.eos),
            "raise_exception": _refuse,
            "strftime_now": lambda form: datetime.now().strftime(form),
            "tools": None,
            "documents": None,
        }
        try:
            with bounded():
                for part in self._template.generate(what):
                    size += len(part)
                    if size > _MOST_MADE:
                        sentence = "the {where} makes more than {limit:,} characters of this"
                        raise InputError(sentence, "chat template", _MOST_MADE)
                    made.append(part)
        except InputError:
            raise
        except Exception as error:  # a template may fail as any program does
            raise _not_taken(error) from error
        return "".join(made)

    def ids(self, dialogue: Sequence[Message]) -> list[int]:
        """The same as ids. Raises: InputError also for a turn that holds a special token."""
        reserved = self.tokenizer.added
        found = next((name for turn in dialogue for name in reserved if name in turn.content), None)
        if found is not None:
            sentence = "a turn holds '{value}', by which the model is told who speaks; leave it out"
            raise InputError(sentence, found)
        return self.tokenizer.encode_framed(self.text(dialogue))


def _not_taken(why: object) -> InputError:
    return InputError("the model's chat template does not take this dialogue: {value}", why)


def _refuse(message: str) -> NoReturn:
    raise _not_taken(message)
