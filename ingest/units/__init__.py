"""Units of work: which frames and slices are rendered together, in which order."""
