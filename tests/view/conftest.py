import pytest

import plait


@pytest.fixture(autouse=True)
def _fresh_names():
    plait.utils.clear_session()
