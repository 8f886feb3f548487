"""What families call the sizes of a plain stack: one table, by which a configuration is read and written.

Plain: LayerNorms, and feed-forward parts of two products. This file does not know positions, masks, nor where
norms stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from regard.interop.family import Unsupported
from regard.interop.keys import Keys, activation_name
from regard.model.attention import AttentionConfig
from regard.model.feedforward import MLP, FeedForwardPart
from regard.model.norm import LayerNorm
from regard.model.stack import StackConfig


@dataclass(frozen=True)
class StackKeys:
    """The keys of a configuration, and what counts where it lacks one."""

    width: str = "hidden_size"
    depth: str = "num_hidden_layers"
    heads: str = "num_attention_heads"
    hidden: str = "intermediate_size"
    activation: str = "hidden_act"
    dropout: str = "hidden_dropout_prob"
    attention_dropout: str = "attention_probs_dropout_prob"
    eps: str | None = "layer_norm_eps"
    """Of the norms; None where it is always the same."""
    default_hidden: int | None = None
    """In widths; None where `Family.defaults` has it."""
    default_activation: str = "gelu"
    default_dropout: float = 0.1
    default_attention_dropout: float = 0.1
    default_eps: float = 1e-12

    def read(self, keys: Keys, feedforward: FeedForwardPart | None = None) -> StackConfig:
        """The stack, with norms after the sums. `feedforward`: the parts of that name, where these keys do
        not say them. Raises: CheckpointError."""
        width, heads = keys.heads(self.width, self.heads)
        if feedforward is None:
            hidden = keys.size(self.hidden, self.default_hidden and self.default_hidden * width)
            feedforward = MLP(hidden, keys.activation(self.activation, self.default_activation))
        dropout = keys.rate(self.attention_dropout, self.default_attention_dropout)
        eps = self.default_eps
        return StackConfig(
            width=width,
            depth=keys.depth(self.depth),
            attention=AttentionConfig(heads, dropout=dropout),
            feedforward=feedforward,
            norm=LayerNorm(keys.number(self.eps, eps, 1e-30, 1.0) if self.eps else eps),
            dropout=keys.rate(self.dropout, self.default_dropout),
        )

    def write(self, stack: StackConfig, *, feedforward: bool = True) -> dict[str, Any]:
        """The keys that say what the stack is; of its feed-forward parts, too, where that is asked for.
        Raises: Unsupported."""
        part, norm = stack.feedforward, stack.norm
        if not isinstance(norm, LayerNorm) or (feedforward and not isinstance(part, MLP)):
            raise Unsupported(f"its parts are {part.kind} and {norm.kind}, not mlp and layer")
        config = {
            self.width: stack.width,
            self.depth: stack.depth,
            self.heads: stack.attention.heads,
            self.dropout: stack.dropout,
            self.attention_dropout: stack.attention.dropout,
        }
        if self.eps:
            config[self.eps] = norm.eps
        if feedforward:
            config[self.hidden] = part.hidden or 4 * stack.width
            config[self.activation] = activation_name(part.activation)
        return config
