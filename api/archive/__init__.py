"""The verbs of the archive: what the command line, the HTTP service and Python programs do with cases.

`opened.OpenedArchive` holds the index, the model and the settings of a home; every verb is a function that
takes it, and `archive.Archive` binds them as methods. Answers are the models of `medsiglip.answers`. Nothing
here knows HTTP or the command line.
"""
