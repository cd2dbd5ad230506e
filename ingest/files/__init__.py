"""Finding and opening files, with the members of archives as files of their own.

`walk` finds them, `open_source` opens one; `inflate.InflatedFile` reads a deflate stream with seeks.
"""
