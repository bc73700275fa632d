"""``python -m sigmabench`` is the command ``sigmabench``."""

from .eval.cli import main

main()
