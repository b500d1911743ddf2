"""The queue in front of the model: nobody gets somebody else's answer, and nobody waits in vain."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest

from service.errors import Overloaded
from service.inference.batching import Batch, Batcher

QUESTIONS = int(os.environ.get("BATCHING_QUESTIONS", "20000"))


def nothing() -> None: ...


async def with_batcher(
    run: Callable[[Sequence[int]], Sequence[int]],
    ask: Callable[[Batcher[int, int]], Awaitable[None]],
    *,
    most: int = 8,
    seconds: float = 60.0,
) -> None:
    batcher = Batcher[int, int](run, most, seconds)
    await batcher.start(nothing)
    try:
        await ask(batcher)
    finally:
        batcher.stop()


def test_no_answer_is_crossed_lost_or_empty_among_many_with_bad_ones_and_people_who_leave():
    chance = random.Random(7)
    sizes: set[int] = set()

    def run(items: Sequence[int]) -> Sequence[int]:
        sizes.add(len(items))
        if any(item % 100 == 0 for item in items):
            raise ValueError(f"bad: {[item for item in items if item % 100 == 0]}")
        return [item * 3 + 1 for item in items]

    async def one(batcher: Batcher[int, int], number: int) -> str:
        task = asyncio.ensure_future(batcher.ask(number))
        if chance.random() < 0.02:
            await asyncio.sleep(0)
            task.cancel()
        try:
            return "right" if await task == number * 3 + 1 else "crossed"
        except ValueError as error:
            return "refused" if str(error) == f"bad: [{number}]" else "crossed"
        except asyncio.CancelledError:
            return "left"

    async def ask(batcher: Batcher[int, int]) -> None:
        for start in range(0, QUESTIONS, 500):
            numbers = range(start, start + 500)
            ended = await asyncio.gather(*(one(batcher, number) for number in numbers))
            assert set(ended) <= {"right", "refused", "left"}
            assert ended.count("right") > 500 * 0.9
            assert "right" not in {answer for answer, number in zip(ended, numbers, strict=True) if number % 100 == 0}

    asyncio.run(with_batcher(run, ask))
    assert max(sizes) == 8


def test_one_alone_is_not_kept_waiting_for_others():
    waits: list[float] = []

    async def ask(batcher: Batcher[int, int]) -> None:
        batcher.on_batch = lambda batch: waits.extend(batch.waits)
        for number in range(20):
            assert await batcher.ask(number) == number

    asyncio.run(with_batcher(list, ask))
    assert sorted(waits)[10] < 0.01


def test_what_waits_meanwhile_goes_together_up_to_the_most():
    batches: list[Batch] = []
    free = threading.Event()

    def run(items: Sequence[int]) -> Sequence[int]:
        free.wait(5)
        return items

    async def ask(batcher: Batcher[int, int]) -> None:
        batcher.on_batch = batches.append
        asked = [asyncio.ensure_future(batcher.ask(number)) for number in range(12)]
        await asyncio.sleep(0.1)
        free.set()
        assert await asyncio.gather(*asked) == list(range(12))

    asyncio.run(with_batcher(run, ask, most=5))
    assert sum(batch.size for batch in batches) == 12
    assert max(batch.size for batch in batches) == 5


def test_who_waited_too_long_is_told_and_not_computed():
    computed: list[int] = []

    def run(items: Sequence[int]) -> Sequence[int]:
        computed.extend(items)
        time.sleep(0.6)
        return items

    async def ask(batcher: Batcher[int, int]) -> None:
        asked = [asyncio.ensure_future(batcher.ask(number)) for number in range(3)]
        ended = await asyncio.gather(*asked, return_exceptions=True)
        assert ended[0] == 0
        assert all(isinstance(error, Overloaded) for error in ended[1:])

    asyncio.run(with_batcher(run, ask, most=1, seconds=0.3))
    assert computed == [0]


def test_who_left_the_queue_is_not_computed():
    computed: list[int] = []
    free = threading.Event()

    def run(items: Sequence[int]) -> Sequence[int]:
        free.wait(5)
        computed.extend(items)
        return items

    async def ask(batcher: Batcher[int, int]) -> None:
        asked = [asyncio.ensure_future(batcher.ask(number)) for number in range(3)]
        await asyncio.sleep(0.05)
        asked[1].cancel()
        await asyncio.sleep(0.05)
        free.set()
        assert await asked[2] == 2

    asyncio.run(with_batcher(run, ask, most=1))
    assert computed == [0, 2]


def test_the_rate_is_measured():
    async def ask(batcher: Batcher[int, int]) -> None:
        for number in range(5):
            await batcher.ask(number)
        assert 1 < batcher.rate < 101  # each takes 10 ms at least; on a busy machine far more

    asyncio.run(with_batcher(lambda items: time.sleep(0.01) or items, ask))


def test_a_thread_that_cannot_be_prepared_says_why():
    def prepare() -> None:
        raise RuntimeError("no weights")

    async def start() -> None:
        await Batcher[int, int](list, 8, 1.0).start(prepare)

    with pytest.raises(RuntimeError, match="no weights"):
        asyncio.run(start())
