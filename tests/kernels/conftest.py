import pytest

from plait import config, kernels


@pytest.fixture
def native_kernels():
    if kernels.native().library is None:
        pytest.skip(kernels.native().why)


@pytest.fixture
def restored():
    """Use the kernels of before again after a test that chooses some."""
    before = config.kernels()
    yield
    config.set_kernels(before)
