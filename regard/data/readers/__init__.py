"""Reading data from files: what the user calls DATA becomes a `DataSet` of lazy rows.

`opening` decides what is meant, `folder` finds the files, `tables`, `parquet` and `plain` read them,
`columns` picks from them, `streams` counts or refuses what is broken, `splits` shares rows out. None of it
knows tokens or models.
"""

from regard.data.readers.opening import Preview, columns_of, open_data

__all__ = ["Preview", "columns_of", "open_data"]
