"""The model store on disk: no HTTP, no processes."""
