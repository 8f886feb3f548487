"""A whole task from another package: rows of numbers and categories get one of some labels, as FT-Transformer
(Gorishniy et al. 2021, arXiv 2106.11959) does it.

`record` is what goes in, `cells` how a table is read and scaled, `embed` how a row becomes vectors, `task`
the task. Entry points in `pyproject.toml` make the value, the embedding and the task known to regard.
"""
