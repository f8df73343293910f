"""Every policy that is listed keeps every promise."""

import contract
import pytest

from diffmask.assemble.text import TEXT_POLICIES


@pytest.mark.parametrize("shape", contract.SHAPES, ids=str)
@pytest.mark.parametrize("promise", contract.PROPERTIES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("config", contract.configs().values(), ids=contract.configs())
def test_every_policy_keeps_every_promise(config, promise, shape):
    promise(config, shape)


def test_every_listed_policy_is_tested():
    assert contract.configs().keys() >= TEXT_POLICIES.keys()
