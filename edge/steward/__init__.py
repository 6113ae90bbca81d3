"""The command line of a steward: a building of its own beside the edge, with the same keys."""
