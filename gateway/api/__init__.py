"""The public HTTP APIs. Each has a folder of its own and imports no other's."""
