"""Training: objectives, data, steps, and the loops around them."""
