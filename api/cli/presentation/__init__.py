"""What a person sees: functions that print the JSON answer of a command as text and tables.

Commands import the `show_...` function of their answer. `tables.py` has the pieces that all of them share.
"""
