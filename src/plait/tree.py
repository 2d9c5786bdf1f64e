"""Nested structures of lists, tuples and dicts."""

from plait.graph.tree import flatten, map_structure, pack

pack_sequence_as = pack

__all__ = ["flatten", "map_structure", "pack_sequence_as"]
