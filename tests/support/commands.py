"""A command of the command line, called in this process, so that its exceptions are seen."""

import pytest

from diffmask.cli import build_parser
from diffmask.core.errors import InputError


class Command:
    """Calls one command.

    Args:
        module: Its module in `diffmask.cli`.
    """

    def __init__(self, module):
        self._name = module.__name__.rsplit(".", 1)[1]

    def __call__(self, *argv):
        """Return what the command returns."""
        args = build_parser().parse_args([self._name, *map(str, argv)])
        return args.run(args)

    def refusal(self, *argv):
        """Return the sentence with which the command refuses."""
        with pytest.raises(InputError) as caught:
            self(*argv)
        return str(caught.value)
