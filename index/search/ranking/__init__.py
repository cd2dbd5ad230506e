"""Rankings of one question, the hits that are chosen from them, and their pages."""
