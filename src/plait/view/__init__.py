"""Look at models: as a table, as a picture, and what they cost."""

from plait.view.cost import Cost, graph_costs, layer_cost
from plait.view.plot import EngineError, plot
from plait.view.summary import summary

__all__ = ["Cost", "EngineError", "graph_costs", "layer_cost", "plot", "summary"]
