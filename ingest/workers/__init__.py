"""Rendering in worker processes, and in this one.

`render_files` and `RenderingPool` are for single files, `WorkerPool` and `render_unit` for a run.
The rest passes tasks and arrays between processes (`messages`, `shared_array`) and finds files that crash a
worker (`isolation`).
"""
