"""From files to the index: scan, decode, render, encode, commit."""
