"""Build and train neural networks as graphs of layers."""
