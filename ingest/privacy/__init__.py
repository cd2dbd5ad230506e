"""Personal data: pseudonyms and the key of a home, free text without identifiers, and silent libraries.

Nothing that names a person leaves this folder. Others use `SecretKey`, `known_key`, `bound_key` and `quiet`.
"""
