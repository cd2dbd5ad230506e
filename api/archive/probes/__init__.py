"""Probes of a home: training on labelled cases, keeping, predicting and evaluating."""
