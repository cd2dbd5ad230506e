"""In the way of a package that every process of Ray would load by way of jsonschema: it builds a grammar for
seconds, while Ray ends a node whose agents start within 15 seconds no more.
"""

raise ImportError("not needed by Ray")
