"""One model on one thread of its own: loaded, warmed and run there, never anywhere else.

Torch's intra-op threads belong to the thread that first used them; a model warmed on one thread and run on another loses more
than half its speed. Requests wait in a bounded queue, so an overload is answered instead of piled up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from service.errors import ModelUnavailable, Overloaded
from service.inference import efficientnet_lite
from service.inference.description import ModelDescription
from service.records import Score

ARCHITECTURES: dict[str, Callable[[], torch.nn.Module]] = {"efficientnet_lite0": efficientnet_lite.build}
WARM_UP_ROUNDS = 3


class Recogniser:
    """Answers pictures with their most probable labels.

    `threads` is torch's intra-op thread count; one thread keeps its speed beside busy neighbours, two do not.
    `queue` is how many pictures may wait before `Overloaded` is raised.
    """

    def __init__(self, description: ModelDescription, *, threads: int, queue: int) -> None:
        self.description = description
        self._threads = threads
        self._queue = queue
        self._waiting = 0
        self._network: torch.nn.Module | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    @property
    def ready(self) -> bool:
        """True once the weights are loaded and the first answers have been computed."""
        return self._network is not None

    async def start(self) -> None:
        """Load the weights and warm up; `ready` afterwards. Raises what loading raises."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._load)

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue for the time of the block, from before a picture is decoded: decoded ones are large.

        Raises ModelUnavailable or Overloaded.
        """
        if not self.ready:
            raise ModelUnavailable("the model is still being loaded")
        if self._waiting >= self._queue:
            raise Overloaded(f"{self._waiting} pictures are waiting already")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def scores(self, pixels: NDArray[np.float32], top: int = 5) -> tuple[Score, ...]:
        """The `top` most probable labels of a picture that has a place, best first. `pixels` is float32[3, crop, crop]."""
        probabilities = await asyncio.get_running_loop().run_in_executor(self._thread, self._forward, pixels)
        best = np.argsort(-probabilities, kind="stable")[:top]
        return tuple(Score(self.description.labels[i], int(i), float(probabilities[i])) for i in best)

    async def recognise(self, pixels: NDArray[np.float32], top: int = 5) -> tuple[Score, ...]:
        """`scores` in a place of its own."""
        with self.place():
            return await self.scores(pixels, top)

    def stop(self) -> None:
        """Finish what was started and end the thread."""
        self._thread.shutdown(cancel_futures=True)

    def _load(self) -> None:
        torch.set_num_threads(self._threads)
        network = ARCHITECTURES[self.description.architecture]()
        weights = torch.load(self.description.weights, map_location="cpu", weights_only=True)
        network.load_state_dict(weights, strict=True, assign=True)
        network = network.to(memory_format=torch.channels_last)
        crop = self.description.preprocessing.crop
        with torch.inference_mode():
            for _ in range(WARM_UP_ROUNDS):
                outputs = network(torch.zeros(1, 3, crop, crop).contiguous(memory_format=torch.channels_last))
        if outputs.shape[1] != len(self.description.labels):
            raise ModelUnavailable(f"the model has {outputs.shape[1]} outputs and {len(self.description.labels)} labels")
        self._network = network

    def _forward(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        assert self._network is not None
        with torch.inference_mode():
            batch = torch.from_numpy(pixels).unsqueeze(0).contiguous(memory_format=torch.channels_last)
            answer: NDArray[np.float32] = torch.softmax(self._network(batch), dim=1)[0].numpy()
            return answer
