"""Public data sets brought to the contract: download, checksum, tidy.

- `available`, `about`: which sets there are, their licence, dates and what is known of them.
- `open_log`: one door for notebooks: a public set, your own file or a frame, with the facts an analysis needs.
- `load`: a set, from the data folder or else from its publisher.
- `fetch`: the download alone. `tidy`: a publisher's file (xlsx, csv, text) or our parquet, brought to the contract.

`python -m shoptoolkit.datasets` (`make data`) fetches them all.
"""

from shoptoolkit.datasets.download import DownloadError, fetch
from shoptoolkit.datasets.log import Log, open_log
from shoptoolkit.datasets.registry import DataSet, LogSet, about, available
from shoptoolkit.datasets.tidy import load, tidy

__all__ = ["available", "about", "load", "open_log", "fetch", "tidy", "Log", "DataSet", "LogSet", "DownloadError"]
