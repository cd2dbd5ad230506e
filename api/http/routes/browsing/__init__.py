"""Routes of browsing: `/v1/cases`, `/v1/facets` and `/v1/collections`."""
