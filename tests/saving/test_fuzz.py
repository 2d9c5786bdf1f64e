"""A few hundred files with changed bytes; `fuzz.py` runs as many as one likes."""

import fuzz


def test_changed_bytes_end_in_a_model_or_in_one_error():
    counts = fuzz.run(420, seed=7)
    assert sum(counts.values()) == 420
    for kind in fuzz.KINDS:
        assert counts[f"{kind}: FileError"] > 10
