"""What a generator is shown: templates, pictures, and the budget of tokens."""
