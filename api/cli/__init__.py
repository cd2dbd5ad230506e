"""The command line: `main.py`, what a person sees of each answer, and commands that only it has."""
