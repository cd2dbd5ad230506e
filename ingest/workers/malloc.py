"""Keeping the memory of pictures that were drawn for the next ones."""

# Just below the greatest size that glibc lets its threshold follow (DEFAULT_MMAP_THRESHOLD_MAX, mallopt(3)).
_LARGEST = (32 << 20) - (1 << 16)


def keep_freed_memory() -> None:
    """Have the allocator reuse freed arrays of up to 32 MiB instead of returning each to the system.

    glibc maps large arrays one by one, and their pages are faulted in anew each time: half the time of
    drawing a radiograph. It stops doing so for sizes that it has seen freed once (M_MMAP_THRESHOLD in
    mallopt(3)), and then gives memory back once 64 MiB lie free. Elsewhere this does nothing.
    """
    bytearray(_LARGEST)
