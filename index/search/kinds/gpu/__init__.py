"""Index kinds on a GPU, by FAISS: flat in float16, inverted lists, and those with product quantization.

The rows stay in memory of the host too, in a `BoundedIndex`, which answers wherever the device does not.
`gpu_index.py` has the kinds, `device.py` the two places that they run on: a GPU, or FAISS on the processor
for tests. Only one thread uses a device: `owner.py`.
"""
