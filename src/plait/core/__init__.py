"""Variables, scopes, layers, and what they stand on."""

from plait.core.memory import keep_freed

keep_freed()
