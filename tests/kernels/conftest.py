import pytest

from plait import kernels


@pytest.fixture
def native_kernels():
    if kernels.native().library is None:
        pytest.skip(kernels.native().why)
