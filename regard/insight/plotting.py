"""Plotly, which draws all figures: an optional package, imported when a figure is drawn.

It knows no figure.
"""

from __future__ import annotations

from types import ModuleType

from regard.errors import needs

_NEEDED = ("figures need the package plotly", "figures")


def graph_objects() -> ModuleType:
    """`plotly.graph_objects`. Raises DependencyError without Plotly."""
    with needs(*_NEEDED):
        import plotly.graph_objects
    return plotly.graph_objects


def subplots() -> ModuleType:
    """`plotly.subplots`. Raises DependencyError without Plotly."""
    with needs(*_NEEDED):
        import plotly.subplots
    return plotly.subplots


def plotly_script() -> str:
    """Plotly's JavaScript, for a page that fetches nothing. Raises DependencyError without Plotly."""
    with needs(*_NEEDED):
        from plotly.offline import get_plotlyjs
    return str(get_plotlyjs())
