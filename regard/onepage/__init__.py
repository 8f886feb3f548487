"""A trained model as one web page in which the model itself runs: nothing to install, no network.

`assets/model.js` is the whole Transformer once more, for a reader of JavaScript. What it cannot compute is
refused (`known.py`), so that a page never gives another answer than the library.
"""

from __future__ import annotations

from regard.onepage.page import Page, export_page

__all__ = ["Page", "export_page"]
