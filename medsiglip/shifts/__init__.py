"""Images as they could also have come: altered in one way, or on the way from the scanner to the model."""
