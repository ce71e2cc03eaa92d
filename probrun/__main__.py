"""`python -m probrun` is the command `probrun`."""

import sys

from .cli import main

sys.exit(main())
