"""One thread of its own for the model, and the queue in front of it: whatever waits when the thread is free goes together.

So there is no waiting for a batch to fill: alone, a picture is answered at once; under load, batches grow by themselves.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from service.errors import Overloaded

T = TypeVar("T")
R = TypeVar("R")
SMOOTHING = 0.2  # of the measured rate: the newest batch's share


@dataclass(slots=True)
class _Job(Generic[T, R]):
    item: T
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[R]
    since: float
    deadline: float
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """What one pass did, for those who measure: how many at once, how long each had waited, and how long it took, in seconds."""

    size: int
    waits: tuple[float, ...]
    seconds: float


@dataclass(slots=True)
class Batcher(Generic[T, R]):
    """`run` answers a batch, in order, on the one thread that calls it; `most` is the size of the largest batch.

    A question that has waited `seconds` is answered with Overloaded instead; one whose asker has gone is left out.
    """

    run: Callable[[Sequence[T]], Sequence[R]]
    most: int
    seconds: float
    on_batch: Callable[[Batch], None] = lambda batch: None
    rate: float = 0.0  # answers a second while busy, measured
    _jobs: deque[_Job[T, R]] = field(default_factory=deque)
    _awake: threading.Condition = field(default_factory=threading.Condition)
    _thread: threading.Thread | None = None
    _stopped: bool = False

    async def start(self, prepare: Callable[[], None]) -> None:
        """Start the thread with `prepare`, on that thread; raises what it raises."""
        loop = asyncio.get_running_loop()
        prepared: asyncio.Future[None] = loop.create_future()
        self._thread = threading.Thread(target=self._work, args=(prepare, loop, prepared), name="model", daemon=True)
        self._thread.start()
        await prepared

    async def ask(self, item: T) -> R:
        """The answer to `item`. Raises Overloaded when it comes too late, or what `run` raises for this item alone."""
        loop, now = asyncio.get_running_loop(), time.monotonic()
        job = _Job[T, R](item, loop, loop.create_future(), now, now + self.seconds)
        with self._awake:
            self._jobs.append(job)
            self._awake.notify()
        try:
            return await job.answer
        except asyncio.CancelledError:
            job.gone = True
            raise

    def stop(self) -> None:
        """Finish the batch under way and end the thread; what still waits is never answered."""
        with self._awake:
            self._stopped = True
            self._awake.notify()
        if self._thread:
            self._thread.join()

    def _work(self, prepare: Callable[[], None], loop: asyncio.AbstractEventLoop, prepared: asyncio.Future[None]) -> None:
        try:
            prepare()
        except BaseException as error:
            _tell(loop, prepared, error=error)
            return
        _tell(loop, prepared, result=None)
        while jobs := self._next():
            started = time.monotonic()
            self._answer(jobs)
            ended = time.monotonic()
            self._measure(jobs, started, ended)

    def _next(self) -> list[_Job[T, R]]:
        """The jobs of the next batch, oldest first; none when it is time to stop."""
        with self._awake:
            while True:
                while not self._jobs and not self._stopped:
                    self._awake.wait()
                if self._stopped:
                    return []
                batch = self._living()
                if batch:
                    return batch

    def _living(self) -> list[_Job[T, R]]:
        batch: list[_Job[T, R]] = []
        now = time.monotonic()
        while self._jobs and len(batch) < self.most:
            job = self._jobs.popleft()
            if job.gone:
                continue
            if now > job.deadline:
                late = Overloaded(f"no answer within {self.seconds:.0f} s", retry_after=self.seconds)
                _tell(job.loop, job.answer, error=late)
            else:
                batch.append(job)
        return batch

    def _answer(self, jobs: Sequence[_Job[T, R]]) -> None:
        """Answer all together; if that fails, each alone, so that one bad item fails by itself."""
        try:
            answers = self.run([job.item for job in jobs])
            assert len(answers) == len(jobs)
        except Exception as error:
            if len(jobs) == 1:
                _tell(jobs[0].loop, jobs[0].answer, error=error)
                return
            for job in jobs:
                self._answer([job])
            return
        for job, answer in zip(jobs, answers, strict=True):
            _tell(job.loop, job.answer, result=answer)

    def _measure(self, jobs: Sequence[_Job[T, R]], started: float, ended: float) -> None:
        rate = len(jobs) / max(ended - started, 1e-6)
        self.rate = rate if self.rate == 0 else (1 - SMOOTHING) * self.rate + SMOOTHING * rate
        self.on_batch(Batch(len(jobs), tuple(started - job.since for job in jobs), ended - started))


def _tell(
    loop: asyncio.AbstractEventLoop, future: asyncio.Future[R], *, result: R | None = None, error: BaseException | None = None
) -> None:
    """Settle a future of another thread's loop; who no longer listens is not told."""

    def settle() -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:  # the loop is closed: nobody waits there
        return
