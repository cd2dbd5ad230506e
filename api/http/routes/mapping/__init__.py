"""Routes below `/v1/map`: making maps, and reading them."""
