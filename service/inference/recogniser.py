"""The model: loaded, warmed and run on one thread of its own, never anywhere else.

Torch's intra-op threads belong to the thread that first used them; a model warmed on one thread and run on another loses more
than half its speed. Pictures wait in a bounded queue, so an overload is answered instead of piled up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from service.errors import ModelUnavailable, Overloaded
from service.inference import efficientnet_lite
from service.inference.batching import Batch, Batcher
from service.inference.description import ModelDescription
from service.records import Score

ARCHITECTURES: dict[str, Callable[[], torch.nn.Module]] = {"efficientnet_lite0": efficientnet_lite.build}
WARM_UP_ROUNDS = 3
STARTING_SECONDS = 5.0  # what a caller is told to wait for a model that is being loaded

Pixels = NDArray[np.float32]


class Recogniser:
    """Answers pictures with their most probable labels.

    `threads` is torch's intra-op thread count; one thread keeps its speed beside busy neighbours, two do not. `queue` is how many
    pictures may wait before Overloaded is raised, `batch` how many are answered together at most, `seconds` how long one may wait.
    """

    def __init__(self, description: ModelDescription, *, threads: int, queue: int, batch: int = 8, seconds: float = 20.0) -> None:
        self.description = description
        self._threads = threads
        self._queue = queue
        self._waiting = 0
        self._network: torch.nn.Module | None = None
        self._batcher: Batcher[Pixels, Pixels] = Batcher(self._forward, most=batch, seconds=seconds)

    @property
    def ready(self) -> bool:
        """True once the weights are loaded and the first answers have been computed."""
        return self._network is not None

    @property
    def waiting(self) -> int:
        """How many pictures have a place."""
        return self._waiting

    def on_batch(self, listener: Callable[[Batch], None]) -> None:
        """Call `listener` after each pass, on the model's thread."""
        self._batcher.on_batch = listener

    async def start(self) -> None:
        """Load the weights and warm up; `ready` afterwards. Raises what loading raises."""
        await self._batcher.start(self._load)

    @contextmanager
    def place(self, number: int = 1) -> Iterator[None]:
        """Places in the queue for the time of the block, from before pictures are decoded: decoded ones are large.

        Raises ModelUnavailable, or Overloaded with the time in which as many as now wait will have been answered.
        """
        if not self.ready:
            raise ModelUnavailable("the model is still being loaded", retry_after=STARTING_SECONDS)
        if self._waiting + number > self._queue:
            after = max(1.0, self._waiting / self._batcher.rate) if self._batcher.rate else 1.0
            raise Overloaded(f"{self._waiting} pictures are waiting already", retry_after=after)
        self._waiting += number
        try:
            yield
        finally:
            self._waiting -= number

    async def scores(self, pixels: Pixels, top: int = 5) -> tuple[Score, ...]:
        """The `top` most probable labels of a picture that has a place, best first. `pixels` is float32[3, crop, crop]."""
        probabilities = await self._batcher.ask(pixels)
        best = np.argsort(-probabilities, kind="stable")[:top]
        return tuple(Score(self.description.labels[i], int(i), float(probabilities[i])) for i in best)

    async def recognise(self, pixels: Pixels, top: int = 5) -> tuple[Score, ...]:
        """`scores` in a place of its own."""
        with self.place():
            return await self.scores(pixels, top)

    def stop(self) -> None:
        """Finish what was started and end the thread."""
        self._batcher.stop()

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

    def _forward(self, pictures: Sequence[Pixels]) -> Sequence[Pixels]:
        """Probabilities, float32[labels] for each picture."""
        assert self._network is not None
        with torch.inference_mode():
            batch = torch.from_numpy(np.stack(pictures)).contiguous(memory_format=torch.channels_last)
            answers: NDArray[np.float32] = torch.softmax(self._network(batch), dim=1).numpy()
            return list(answers)
