"""Where the files of a home lie that its rows name: shards, maps and previews, in the home or in a bucket.

Others use `ObjectStore` and what `opening` gives; a name is the path that a file has, or would have, below
the home.
"""
