"""The kinds of vector search behind one protocol, `VectorSearch`; which of them a home uses."""
