"""Ratios of the image encoder, and the model that they are measured on."""
