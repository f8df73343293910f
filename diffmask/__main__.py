"""python -m diffmask"""

import sys

from diffmask.cli import main

sys.exit(main())
