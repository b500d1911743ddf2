"""Decoders to hand pictures to: each is a process, so that a picture harms none but itself. Only here are processes started."""

from __future__ import annotations

import contextlib
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from service.errors import BadImage, Busy, DecodingTooSlow
from service.images import wire
from service.images.pixels import Prepared
from service.inference.description import Preprocessing

ROOT = Path(__file__).parent.parent.parent  # where the package `service` is
START_SECONDS = 30
GRACE_SECONDS = 1.0  # how long after its own alarm a decoder is taken to have failed to end
# All that a decoder knows of where it runs. Large blocks go back to the system after each picture, or they would fill its memory.
ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "PYTHONDONTWRITEBYTECODE": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}


class DecoderPool:
    """At most `workers` decoders, each with `memory_bytes` of address space and `seconds` of wall-clock time per picture."""

    def __init__(self, workers: int, *, seconds: float = 10, memory_bytes: int = 1 << 30) -> None:
        self._count, self._seconds, self._memory_bytes = workers, seconds, memory_bytes
        # The kernel ends a decoder with the thread that started it, so all are started by one that lasts as long as the pool.
        self._starter = ThreadPoolExecutor(1, "decoder-starter")
        self._lock = threading.Lock()
        self._decoders: set[_Decoder] = set()
        self._deaths = 0
        self._closed = False
        # None is the place of a decoder that is not there. The last to come back is the next to work: it has its memory warm.
        self._places: queue.LifoQueue[_Decoder | None] = queue.LifoQueue()
        for _ in range(workers):
            self._places.put(None)

    @property
    def deaths(self) -> int:
        """How many decoders died, or were ended for being too slow, while they had a picture."""
        return self._deaths

    def pids(self) -> tuple[int, ...]:
        """The processes that there are."""
        with self._lock:
            return tuple(decoder.pid for decoder in self._decoders)

    def start(self) -> None:
        """Start all decoders now, not when the first picture comes. Raises Busy when that fails."""
        decoders = [self._take() for _ in range(self._count)]
        for decoder in decoders:
            self._places.put(decoder)

    def prepare(self, data: bytes, steps: Preprocessing, *, keep: bool) -> Prepared:
        """Decode as `decode.prepare` does, in a decoder, waiting for one when all are at work. Safe to call from many threads.

        Raises BadImage or one of its children: DecodingTooSlow and DecodingTooLarge for a picture that is over the limits. Raises
        Busy when no decoder can be started, or the pool is closed.
        """
        decoder = self._take()
        try:
            return decoder.prepare(data, steps, keep=keep)
        finally:
            self._give_back(decoder)

    def close(self) -> None:
        """End all decoders and wait for them; pictures that they have are refused. Nothing is decoded afterwards."""
        with self._lock:
            self._closed = True
        self._starter.shutdown()
        with self._lock:
            decoders = tuple(self._decoders)
        for decoder in decoders:
            decoder.kill()  # one at work is left to its caller, who reads from its socket
        with contextlib.suppress(queue.Empty):
            while True:
                if decoder_at_rest := self._places.get_nowait():
                    self._forget(decoder_at_rest)
        self._places.put(None)  # for those who wait, and who come too late

    def _take(self) -> _Decoder:
        decoder = self._places.get()
        try:
            if self._closed:
                raise Busy("no picture is decoded any more: the service is ending")
            if decoder is not None and not decoder.alive:  # somebody ended it while it had nothing to do
                self._forget(decoder)
                decoder = None
            return decoder or self._starter.submit(self._started).result()
        except BaseException:
            self._places.put(None)
            raise

    def _give_back(self, decoder: _Decoder) -> None:
        with self._lock:
            if decoder.usable and not self._closed:
                self._places.put(decoder)
                return
            self._deaths += not decoder.usable and not self._closed
        self._forget(decoder)
        try:
            self._starter.submit(self._refill)
        except RuntimeError:  # the pool is closed
            self._places.put(None)

    def _refill(self) -> None:
        try:
            self._places.put(self._started())
        except Busy:
            self._places.put(None)  # whoever takes the place tries again

    def _started(self) -> _Decoder:
        decoder = _Decoder(self._seconds, self._memory_bytes)
        with self._lock:
            self._decoders.add(decoder)
        return decoder

    def _forget(self, decoder: _Decoder) -> None:
        decoder.end()
        with self._lock:
            self._decoders.discard(decoder)


class _Decoder:
    """One process and our end of its socket. `usable` says that it owes no answer."""

    def __init__(self, seconds: float, memory_bytes: int) -> None:
        self._seconds = seconds
        self.usable = True
        self._channel, theirs = socket.socketpair()
        arguments = [str(theirs.fileno()), str(seconds), str(memory_bytes)]
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "service.images.worker", *arguments], pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=ENVIRONMENT, cwd="/",
                )  # fmt: skip
        except OSError as error:
            self._channel.close()
            raise Busy("no decoder for pictures can be started") from error
        try:
            wire.await_ready(self._channel, deadline=time.monotonic() + START_SECONDS)
        except (OSError, wire.Garbled) as error:
            self.end()
            raise Busy("the decoder for pictures does not start") from error

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def prepare(self, data: bytes, steps: Preprocessing, *, keep: bool) -> Prepared:
        """Its answer to the picture. Raises BadImage, and is not usable any more, when none comes."""
        self.usable = False
        deadline = time.monotonic() + self._seconds + GRACE_SECONDS
        try:
            wire.send_request(self._channel, data, steps, keep=keep, deadline=deadline)
            answer = wire.receive_answer(self._channel, steps, keep=keep, deadline=deadline)
        except (OSError, wire.Garbled) as error:
            if self.kill() == -signal.SIGALRM or isinstance(error, TimeoutError):
                raise DecodingTooSlow(f"the picture takes more than {self._seconds:g} s to decode") from error
            raise BadImage("the picture could not be decoded: the decoder died") from error
        self.usable = True
        if isinstance(answer, BadImage):
            raise answer
        return answer

    def kill(self) -> int:
        """End the process and wait for it; what ended it, as subprocess says it. It has nothing to put in order first."""
        self._process.kill()
        return self._process.wait()

    def end(self) -> None:
        self.kill()
        self._channel.close()
