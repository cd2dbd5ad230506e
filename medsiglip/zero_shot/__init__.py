"""Zero-shot classification: prompt sets and free labels, and what image vectors score against them."""
