"""A model that does not fit on the disk leaves the old file as it was."""

import os
import subprocess
import sys
import textwrap

import plait
from plait import layers


def test_the_old_model_survives_a_full_disk(tmp_path):
    path = tmp_path / "m.keras"
    plait.Sequential([plait.Input((4,)), layers.Dense(3)]).save(path)
    old = path.read_bytes()
    code = """
        import resource, signal, sys
        import plait
        from plait import layers
        big = plait.Sequential([plait.Input((400,)), layers.Dense(400)])
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        for save in (big.save, lambda path: big.save_weights(path.replace("keras", "weights.h5"))):
            try:
                save(sys.argv[1])
            except plait.FileError as error:
                print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(path)], capture_output=True, text=True
    )
    assert done.stdout.count("cannot write") == 2, done.stderr
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["m.keras"]
