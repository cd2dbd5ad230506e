"""By what files and associations of this project tell who wrote them (PS3.7, D.3.3.2; PS3.10, 7.1)."""

IMPLEMENTATION_CLASS_UID = "2.25.232145619405517236410829876025480412357"
"""The decimal form of a UUID (PS3.5, B.2)."""
IMPLEMENTATION_VERSION_NAME = "MEDSIGLIP_1"
"""At most 16 characters."""
