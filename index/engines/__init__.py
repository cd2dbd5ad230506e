"""Vector engines beside the catalogue: servers that hold the vectors of a home's images, series and studies.

Nothing here imports `medsiglip.index.search` or `medsiglip.index.storage`, which both import this.
"""
