"""The stack: tensors in, tensors out. No files, no text, no training.

One legend for every shape here:

    B batch            T query positions     S key positions      D width
    H heads            G key/value heads     C head width         F hidden width
    V vocabulary or classes

`x` is the residual stream, `memory` an encoder's output, `q k v` what attention is given, `scores`
what enters its softmax, `weights` what leaves it, `logits` what a vocabulary head gives. Booleans say
`allowed`: True may be seen.
"""
