"""`python -m ndic_core --config FILE` is `ndic run --config FILE`, as with the published `main.py`; or any command."""

import sys

from ndic_core.cli import main

arguments = sys.argv[1:]
main(["run", *arguments] if not arguments or arguments[0].startswith(("--config", "--set")) else arguments)
