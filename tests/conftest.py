"""What every test relies on: one thread, because sums over several may differ in the last bit; and no hub.

And what keeps the suite quick: modules without examples are not imported to look for them, and the collector of garbage
does not look through what is imported.
"""

import gc
import os

import pytest
import torch
from _pytest.doctest import DoctestModule

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start
torch.set_num_threads(1)


class OnlyExamples:
    """Drops files without an example from those that `--doctest-modules` imports and searches."""

    @pytest.hookimpl(wrapper=True)
    def pytest_collect_file(self, file_path):
        found = yield
        if any(isinstance(each, DoctestModule) for each in found) and ">>>" not in file_path.read_text("utf-8"):
            return [each for each in found if not isinstance(each, DoctestModule)]
        return found


def pytest_configure(config):
    # not as a function here, because a conftest is asked about its own folder alone
    config.pluginmanager.register(OnlyExamples())


def pytest_collection_finish():
    """Set aside all that is imported: the trainer collects garbage after every run, a quarter of a second each time."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish():
    # or libraries complain at exit of what was never released
    gc.unfreeze()
