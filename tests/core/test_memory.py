"""What a step gives back is kept for the next one."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, platform, resource
import plait.core
if platform.libc_ver()[0] != "glibc":
    raise SystemExit("not glibc")
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.malloc.argtypes = [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
size = 100_000_000
faults = []
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = library.malloc(size)
    ctypes.memset(block, 1, size)
    library.free(block)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(faults[0], faults[-1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of GNU's allocator")
@pytest.mark.parametrize("own", [{}, {"MALLOC_TRIM_THRESHOLD_": "131072"}], ids=["ours", "own"])
def test_freed_memory_is_kept_unless_the_user_has_settings(own):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=clean | own, capture_output=True, text=True, check=False
    )
    if "not glibc" in done.stderr:
        pytest.skip("of GNU's allocator")
    first, last = map(int, done.stdout.split())
    assert first > 1000
    assert last > 1000 if own else last < 100
