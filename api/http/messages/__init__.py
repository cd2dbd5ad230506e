"""What every request and response passes, whatever its route: rules for bodies that come in and for the form
of answers.
"""
