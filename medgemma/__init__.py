"""Draft reports: which cases go to a generator, what it is shown, and what its text is checked against."""
