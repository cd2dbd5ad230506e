"""Calibration: from scores that rank to probabilities, and to answers that hold at a stated error bound."""
