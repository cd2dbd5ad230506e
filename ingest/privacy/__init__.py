"""Personal data: pseudonyms and the key of a home, free text without identifiers, and silent libraries.

`deidentify` makes pseudonyms and holds the key of a home (`SecretKey`, `known_key`, `bound_key`); `free_text`
checks texts against a patient's identity; `quiet` silences libraries, whose messages may quote a file.
"""
