"""Variables, scopes, layers, and what they stand on."""
