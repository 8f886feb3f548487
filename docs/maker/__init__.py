"""Makes the documentation: runs its pages, writes the notebooks, builds the site.

`docs/make.py` is the door.
"""
