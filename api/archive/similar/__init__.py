"""Similar cases: what may be asked, the vectors that stand for it, and the answers."""
