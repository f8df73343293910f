"""A command of the command line, called in this process, so that its exceptions are seen."""

import argparse

import pytest

from diffmask.cli import Formatter
from diffmask.core.errors import InputError


class Command:
    """Calls one command.

    Args:
        module: The module of `diffmask.cli` that adds it.
    """

    def __init__(self, module):
        self._module = module
        self._name = module.__name__.rsplit(".", 1)[1]

    def __call__(self, *argv):
        """Return what the command returns."""
        parser = argparse.ArgumentParser()
        self._module.add_parser(parser.add_subparsers(), Formatter)
        args = parser.parse_args([self._name, *map(str, argv)])
        return args.run(args)

    def refusal(self, *argv):
        """Return the sentence with which the command refuses."""
        with pytest.raises(InputError) as caught:
            self(*argv)
        return str(caught.value)
