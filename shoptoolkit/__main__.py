"""`python -m shoptoolkit` is `shoptoolkit`, for where its script is not on the path."""

import sys

from shoptoolkit.report.cli import main

sys.exit(main())
