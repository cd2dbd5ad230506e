"""Checks of a draft's sentences: findings and polarity against scores, copied words, wording."""
