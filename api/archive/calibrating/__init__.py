"""Calibrations of a home: made from its labelled cases, listed and removed."""
