"""Makes the bundled `tiny` checkpoint: training pairs, vocabulary, figures, model card.

Run `python -m medsiglip.phantoms.checkpoint.make_checkpoint`; nothing else of the project needs this folder.
"""
