"""The command line `medsiglip`: `main.py` is the entry point, `commands` holds one file for each topic.

Nothing heavy is imported before a command runs, so that `medsiglip --help` answers at once. `presentation`
prints answers for a person, and `demo.py` and `doctor.py` are commands that need more than a call of the
archive.
"""
