"""Look at models: as a table, as a picture, and what they cost."""
