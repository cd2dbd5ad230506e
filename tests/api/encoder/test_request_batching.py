"""The queue alone: how batches are made, when requests are refused, and what a lost device costs."""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import Any

import numpy as np
import pytest

from medsiglip.api.encoder.request_batching import Batch, BatchQueue, Request
from medsiglip.errors import ItemError

LOST = RuntimeError("lost")


class Device:
    """Encodes an image at place p as [p, p]; places in `bad` fail alone."""

    def __init__(self, bad: Any = ()) -> None:
        self.bad = set(bad)

    def finish(self, queue: Any, batch: Any) -> None:
        contents = [item.content for item in batch.items]
        failures = {
            i: ItemError("not-finite", "nothing for image {item};", 0)
            for i, content in enumerate(contents)
            if content in self.bad
        }
        vectors = np.repeat(np.array(contents, np.float32)[:, None], 2, axis=1)
        queue.finish(vectors, failures, 0.0)


@pytest.fixture
def released() -> Any:
    return []


@pytest.fixture
def queue(released: Any) -> Any:
    queue = BatchQueue[Device](100, released.extend)
    queue.resume(Device(), 4, 0.0)
    return queue


def put(queue: Any, *contents: Any) -> Any:
    assert queue.reserve(len(contents), patient=False)
    request = Request("image", contents, 2)
    assert queue.put(request)
    return request


def contents(batch: Any) -> Any:
    return [item.content for item in batch.items]


def test_a_single_item_is_sent_at_once(queue: Any) -> None:
    request = put(queue, 7)
    batch = queue.take()
    assert contents(batch) == [7]
    batch.device.finish(queue, batch)
    np.testing.assert_array_equal(request.wait(), [[7, 7]])


def test_items_that_come_while_the_device_works_form_one_batch(queue: Any) -> None:
    put(queue, 1)
    first = queue.take()
    waiting = [put(queue, n) for n in (2, 3)]
    first.device.finish(queue, first)
    second = queue.take()
    assert contents(second) == [2, 3]
    second.device.finish(queue, second)
    assert [request.wait()[0, 0] for request in waiting] == [2, 3]


def test_only_a_full_batch_is_sent_ahead(queue: Any) -> None:
    put(queue, 1)
    first = queue.take()
    put(queue, 2, 3, 4)
    taken = []
    taker = threading.Thread(target=lambda: taken.append(queue.take()))
    taker.start()
    taker.join(0.05)
    assert taker.is_alive()
    put(queue, 5)
    taker.join()
    assert contents(taken[0]) == [2, 5, 3, 4]
    assert contents(first) == [1]


def test_requests_take_turns(queue: Any) -> None:
    put(queue, *range(10, 20))
    put(queue, 1)
    put(queue, 2)
    assert contents(queue.take()) == [10, 1, 2, 11]
    assert contents(queue.take()) == [12, 13, 14, 15]


def test_images_and_texts_take_turns(queue: Any) -> None:
    images = put(queue, *range(8))
    ids = np.arange(6).reshape(3, 2)
    assert queue.reserve(3, patient=False)
    queue.put(Request("text", ids, 2))
    kinds = []
    while queue.held:
        batch = queue.take()
        kinds.append(batch.kind)
        queue.finish(np.zeros((len(batch.items), 2), np.float32), {}, 0.0)
    assert kinds == ["image", "text", "image"]
    assert images.wait().shape == (8, 2)


def test_a_full_queue_refuses_and_patient_calls_wait(queue: Any) -> None:
    request = put(queue, *range(100))
    assert not queue.reserve(1, patient=False)
    assert queue.counts.refused == 1
    waiter = threading.Thread(target=queue.reserve, args=(1,), kwargs={"patient": True})
    waiter.start()
    waiter.join(0.05)
    assert waiter.is_alive()
    batch = queue.take()
    batch.device.finish(queue, batch)
    waiter.join()
    assert queue.held == 97
    assert request.error is None


def test_a_failed_item_fails_only_its_request_and_has_its_position_there(queue: Any, released: Any) -> None:
    queue.resume(Device(bad={5}), 4, 0.0)
    good, bad = put(queue, 1, 2), put(queue, 3, 4, 5, 6)
    while queue.held:
        batch = queue.take()
        batch.device.finish(queue, batch)
    np.testing.assert_array_equal(good.wait()[:, 0], [1, 2])
    with pytest.raises(ItemError, match="image 2;") as caught:
        bad.wait()
    assert caught.value.item == 2
    assert sorted(released) == [1, 2, 3, 4, 5, 6]


def test_after_a_crash_items_are_sent_again_alone_and_only_the_cause_fails(queue: Any, released: Any) -> None:
    """The device crashes on item 3 every time."""
    requests = {n: put(queue, n) for n in range(1, 7)}
    sizes = []
    while queue.held:
        batch = queue.take()
        sizes.append(len(batch.items))
        if 3 in contents(batch):
            queue.lose_device(LOST)
            queue.resume(Device(), 4, 0.0)
        else:
            batch.device.finish(queue, batch)
    assert sizes == [4, 1, 1, 1, 1, 2]
    for n, request in requests.items():
        if n == 3:
            with pytest.raises(RuntimeError, match="lost"):
                request.wait()
        else:
            np.testing.assert_array_equal(request.wait(), [[n, n]])
    assert Counter(released) == Counter(range(1, 7))


def test_nothing_is_sent_without_a_device(queue: Any) -> None:
    queue.lose_device(LOST)
    request = put(queue, 1)
    queue.fail_all(LOST)
    with pytest.raises(RuntimeError, match="lost"):
        request.wait()
    assert queue.held == 0


def test_closing_waits_for_accepted_requests_and_refuses_new_ones(queue: Any) -> None:
    request = put(queue, 1)
    closed = []
    closer = threading.Thread(target=lambda: closed.append(queue.close(60.0)))
    closer.start()
    while not queue.is_closed:
        closer.join(0.01)
    assert not queue.reserve(1, patient=True)
    batch = queue.take()
    batch.device.finish(queue, batch)
    closer.join()
    assert closed == [True]
    assert request.wait().shape == (1, 2)
    queue.end()
    assert queue.take() is None


def test_a_slow_device_gets_smaller_batches() -> None:
    queue = BatchQueue[Device](100, lambda places: None, pass_seconds=1.0)
    queue.resume(Device(), 16, 5.0)
    put(queue, *range(90))
    sizes = []
    for pace in (2.0, 0.25, 0.25, 0.05, 0.05, 0.45, 0.05):
        batch = queue.take()
        assert batch is not None
        sizes.append(len(batch.items))
        queue.finish(np.zeros((len(batch.items), 2), np.float32), {}, pace * len(batch.items))
    assert sizes == [1, 1, 4, 4, 16, 16, 10]


@pytest.mark.parametrize("seed", range(20))
def test_each_item_is_answered_once_and_its_place_freed_once(seed: Any) -> None:
    """Random arrivals, bad items and crashes: every request ends, with its own vectors or with an error."""
    rng = random.Random(seed)
    released: list[int] = []
    queue = BatchQueue[Device](60, released.extend)
    queue.resume(Device(), 3, 0.0)
    places = iter(range(100_000))
    bad: set[int] = set()
    requests: list[tuple[Request, list[int]]] = []
    in_flight: list[Batch[Device]] = []
    for _ in range(400):
        action = rng.random()
        if action < 0.5:
            mine = [next(places) for _ in range(rng.randint(1, 9))]
            bad.update(place for place in mine if rng.random() < 0.05)
            if queue.reserve(len(mine), patient=False):
                request = Request("image", mine, 2)
                queue.put(request)
                requests.append((request, mine))
        elif action < 0.75 and (batch := queue._next()) is not None:
            queue._in_flight.append(batch)
            in_flight.append(batch)
        elif action < 0.95 and in_flight:
            Device(bad).finish(queue, in_flight.pop(0))
        elif action > 0.97:
            queue.lose_device(LOST)
            in_flight.clear()
            queue.resume(Device(), rng.randint(1, 5), 0.0)
    while queue.held:
        if not in_flight:
            batch = queue.take()
            assert batch is not None
            in_flight.append(batch)
        Device(bad).finish(queue, in_flight.pop(0))
    for request, mine in requests:
        if request.error is None:
            np.testing.assert_array_equal(request.wait()[:, 0], mine)
        else:
            place = getattr(request.error, "item", None)
            assert request.error is LOST if place is None else mine[place] in bad
    assert Counter(released) == Counter(place for _, mine in requests for place in mine)
