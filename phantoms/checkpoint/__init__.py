"""Making the bundled `tiny` checkpoint: training pairs, vocabulary, figures, model card."""
