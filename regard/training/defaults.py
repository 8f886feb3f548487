"""Short names of settings, and what suits a body that has learned already: data only."""

from __future__ import annotations

SHORT = {
    "train.lr": ("train.optimizer.lr",),
    "model.depth": ("model.encoder.depth", "model.decoder.depth", "model.stack.depth"),
    "model.heads": (
        "model.encoder.attention.heads",
        "model.decoder.attention.heads",
        "model.decoder.cross.heads",
        "model.stack.attention.heads",
    ),
    "model.width": ("model.encoder.width", "model.decoder.width", "model.stack.width"),
    "model.hidden": (
        "model.encoder.feedforward.hidden",
        "model.decoder.feedforward.hidden",
        "model.stack.feedforward.hidden",
    ),
    "model.dropout": ("model.encoder.dropout", "model.decoder.dropout", "model.stack.dropout"),
}
"""Short names of the settings that people change most."""

# A body that has learned already: small steps, as in BERT (arXiv 1810.04805, appendix A.3), and no momentum
# that makes all directions alike.
FINE_TUNED = (
    "train.optimizer=adamw",
    "train.optimizer.lr=1e-4",
    "train.optimizer.beta2=0.999",
    "train.optimizer.eps=1e-8",
    "train.optimizer.weight_decay=0.01",
    "train.epochs=4",
)
