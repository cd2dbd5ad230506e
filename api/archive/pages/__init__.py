"""Pages of HTML that a person can send on: one file each, which loads nothing from elsewhere."""
