"""What a person who looks through the archive needs of the catalogue: pages of cases, counts of facets,
pictures, maps, labels of each reader, collections, saved views and sessions of browsers.
"""
