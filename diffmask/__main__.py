"""Run the command line as a module: python -m diffmask."""

import sys

from diffmask.cli import main

sys.exit(main())
