"""Maps: vectors laid out in a plane, how far the plane keeps their neighbours, and what of them stands alone
or lies almost on another. Arrays in, arrays out; the neighbours come from whoever has the vectors.
"""
