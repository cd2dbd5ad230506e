"""Files of a home handed on: headers without identifying values, frames as they are stored or decoded, and
pictures for a screen. The tasks of `file_tasks` are carried out by workers (`RenderingPool.perform`).
"""
