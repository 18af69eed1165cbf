"""Registries: models from elsewhere and to elsewhere, over the distribution API."""
