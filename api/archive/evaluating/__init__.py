"""Figures on the archive's labelled cases: of neighbours, of zero-shot scores, and what they depend on."""
