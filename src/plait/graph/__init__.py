"""Pure data: symbolic tensors, nodes, graphs and edits. No JAX."""
