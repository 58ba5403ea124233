"""A trained pair."""

import pytest
from torch import nn

from robustill.data import Data
from tests.diagnostics.bracket.networks import trained_network


@pytest.fixture
def pair(tiny_data: Data) -> tuple[nn.Module, nn.Module]:
    """Return a student and a teacher that are right on most images and differ on some."""
    return trained_network(tiny_data, 0, 25), trained_network(tiny_data, 1, 60)
