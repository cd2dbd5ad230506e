"""The verbs that score pictures and studies against texts."""
