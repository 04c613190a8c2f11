"""``python -m redrive`` is the command ``redrive``."""

from __future__ import annotations

import sys

from redrive.cli import main

sys.exit(main())
