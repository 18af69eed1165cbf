"""Wire forms, as pure functions: no HTTP server, no disk, no clock."""
