"""Files of maps, below `maps/` of a home, and how deleted cases leave them.

`medsiglip.index.storage.map_store` has the rows that name them.
"""
