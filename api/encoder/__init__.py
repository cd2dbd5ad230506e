"""One model for all threads, in a process of its own, fed with batches."""
