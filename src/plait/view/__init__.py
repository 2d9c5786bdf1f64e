"""Look at models: as a table, and what they cost."""

from plait.view.cost import Cost, graph_costs, layer_cost
from plait.view.summary import summary

__all__ = ["Cost", "graph_costs", "layer_cost", "summary"]
