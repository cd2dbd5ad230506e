"""What each file is: an image to embed, skipped or quarantined."""
