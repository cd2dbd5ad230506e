"""How much a number of images takes: `model` is arithmetic, `rates` what was measured, `page` the page of the
documentation, and `ingest_workers` compares the model with runs.
"""
