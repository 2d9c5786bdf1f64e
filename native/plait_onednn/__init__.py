"""Kernels for plait on oneDNN, called by XLA.

The package holds a shared library that knows nothing of Python; plait loads it by its path.
"""

from pathlib import Path

LIBRARY = Path(__file__).with_name("libplait_onednn.so")
"""Where the library is."""
