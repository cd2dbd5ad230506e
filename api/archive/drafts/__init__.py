"""Draft reports of the archive: their verbs, report texts, routing rules, and the configured generators.

`reports`, `report_import` and `routing_rules` have the verbs; `image_source` renders stored images again, for
generators, exports and previews.
"""
