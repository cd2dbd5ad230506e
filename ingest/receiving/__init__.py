"""A storage SCP: associations, instances on the disk, storage commitment (PS3.4, annexes B and J)."""
