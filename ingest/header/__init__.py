"""What the header of a file says, without its pixels."""
