"""Sampling the slices of a series that has more than wanted."""

from __future__ import annotations

from collections.abc import Sequence

# Of a place seen many times (phases, volumes of an fMRI), at least so many slices are rendered of each time
# that is chosen: whole volumes at a few times show more than one slice at each.
MIN_SLICES_OF_A_REPEAT = 8


def sample_evenly(count: int, limit: int | None) -> list[int]:
    """At most `limit` of `count` indices, evenly spread, ends included (the middle one if `limit` is 1)."""
    if limit is None or count <= limit:
        return list(range(count))
    if limit == 1:
        return [count // 2]
    return [round(i * (count - 1) / (limit - 1)) for i in range(limit)]


def sample_stacks(counts: Sequence[int], contrasts: Sequence[int], limit: int | None) -> list[list[int]]:
    """Share `limit` slices over the stacks of a series: for each stack, the indices of its slices to render.

    `counts` are the sizes of the stacks; stacks with equal `contrasts` show the same places at other times.
    A single stack is sampled evenly, ends included. Of several, each contrast gets a share by its number of
    slices, one at least; the times of a contrast are sampled evenly so that each time that is
    chosen gets `MIN_SLICES_OF_A_REPEAT` slices or all it has; within a stack the middles of equal parts are
    taken, since the first and last slices of a volume show the least.
    """
    if limit is None or sum(counts) <= limit:
        return [list(range(count)) for count in counts]
    if len(counts) == 1:
        return [sample_evenly(counts[0], limit)]
    groups: dict[int, list[int]] = {}
    for stack, contrast in enumerate(contrasts):
        groups.setdefault(contrast, []).append(stack)
    chosen: list[list[int]] = [[] for _ in counts]
    kept = [list(groups.values())[i] for i in sample_evenly(len(groups), limit)]
    for stacks, budget in zip(kept, share([sum(counts[s] for s in g) for g in kept], limit), strict=True):
        enough = min(MIN_SLICES_OF_A_REPEAT, max(counts[s] for s in stacks))
        times = [stacks[i] for i in sample_evenly(len(stacks), max(budget // enough, 1))]
        for stack, slices in zip(times, share([counts[s] for s in times], budget), strict=True):
            chosen[stack] = _middles(counts[stack], slices)
    return chosen


def share(counts: Sequence[int], limit: int) -> list[int]:
    """Share `limit` in proportion to `counts`: at least one each, at most `counts` each, the largest
    remainders rounded up. Needs `limit >= len(counts)`.
    """
    total = sum(counts)
    if total <= limit:
        return list(counts)
    exact = [count * limit / total for count in counts]
    shares = [max(int(part), 1) for part in exact]
    by_remainder = sorted(range(len(counts)), key=lambda i: shares[i] - exact[i])
    while sum(shares) < limit:
        for i in by_remainder:
            if sum(shares) < limit and shares[i] < counts[i]:
                shares[i] += 1
    while sum(shares) > limit:
        shares[max(range(len(shares)), key=lambda i: shares[i])] -= 1
    return shares


def _middles(count: int, parts: int) -> list[int]:
    return [int((i + 0.5) * count / parts) for i in range(parts)]
