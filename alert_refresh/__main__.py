"""`python -m alert_refresh`: the command line; without arguments it runs `serve`."""

from __future__ import annotations

import sys

from alert_refresh.cli.main import main

if __name__ == "__main__":
    main(sys.argv[1:] or ["serve"], prog_name="alert-refresh")
