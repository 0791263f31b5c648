"""vLLM on a Ray cluster: `workers` engines behind Ray Data's own LLM processor, fed and emptied row by row."""

import itertools
import os
from collections.abc import Generator, Iterable, Iterator
from importlib import metadata
from typing import TYPE_CHECKING, Any

from lib.core.cluster import arriving, connect
from lib.core.models import Model
from lib.core.progress import say
from lib.core.records import Record, StudyError
from lib.generate.protocol import Request
from lib.generate.tokens import count_tokens
from lib.generate.vllm_engine import CONTEXT_TOKENS, SETTINGS, engine_arguments, sampling

if TYPE_CHECKING:
    from ray.data import Dataset
    from ray.util.queue import Queue


class Ray:
    """Like Vllm, on `workers` engines of `max_seqs` sequences each in a Ray cluster ("" starts one on this machine).

    `arguments` are passed on to vLLM (tensor_parallel_size, ...). Without a GPU in the cluster its CPUs are shared out.

    Ray's processor tells neither why a completion ended nor what was cached: a completion of max_tokens tokens, or one
    that fills the window, counts as "length" (even if it ended by itself just there), and cached_tokens is always 0.
    """

    def __init__(self, model: Model, max_seqs: int = 64, workers: int = 1, address: str = "", **arguments: Any) -> None:
        # Bound to cores, as vLLM would have it, all workers of a machine would share the same ones.
        for name, value in (SETTINGS | {"VLLM_CPU_OMP_THREADS_BIND": "nobind"}).items():
            os.environ.setdefault(name, value)
        self.model, self.revision, self.max_seqs = model, model.revision, max_seqs
        self.workers, self.address, self.arguments = workers, address, arguments
        self.window = int(arguments.get("max_model_len", CONTEXT_TOKENS))
        vllm = next(iter([*metadata.distributions(name="vllm"), *metadata.distributions(name="vllm-cpu")]))
        self.version = f"vllm {vllm.version} on ray {metadata.version('ray')}"
        self._tickets = itertools.count()  # none is given twice: the rows of an abandoned call are known as such
        self._queue: Queue | None = None
        self._rows: Iterator[Record] = iter(())
        self._joined = False

    def load(self) -> None:
        """Start the pipeline, once, and wait for the first engine; the others join in when they are ready.

        One dataset lives from here to close(), because every dataset starts engines of its own.
        """
        if self._queue is not None:
            return
        say(f"loading {self.model.name} into vLLM on {self.workers} Ray workers")
        self._joined = connect(self.address, self.workers)
        from ray.util.queue import Queue

        self._queue = Queue(actor_options={"num_cpus": 0})
        self._queue.put("begin")
        self._rows = arriving(self._pipeline(self._queue))
        self._send(Request("def", 0, 1, ()))
        self._receive()

    def _pipeline(self, queue: "Queue") -> "Dataset":
        """Return the dataset of the rows that the engines make from those that come through `queue`."""
        import ray
        from ray.data.llm import build_processor, vLLMEngineProcessorConfig

        def drawn(_: Record) -> Iterator[Record]:  # local functions are sent to the cluster whole
            # A second attempt would not draw again what the first one has drawn: better no attempt.
            assert queue.get_nowait() == "begin", "the worker that draws the requests died"
            while True:
                yield queue.get()

        def kept(row: Record) -> Record:
            names = ("ticket", "generated_text", "num_generated_tokens", "num_input_tokens")
            return {name: row[name] for name in names}

        on_gpu = ray.cluster_resources().get("GPU", 0) > 0
        config = vLLMEngineProcessorConfig(
            model_source=str(self.model.path),
            engine_kwargs=engine_arguments(self.max_seqs, on_gpu, **self.arguments),
            concurrency=(self.workers, self.workers),
            batch_size=1,  # a batch is handed on when its last row is finished
            max_concurrent_batches=self.max_seqs,
            placement_group_config=None if on_gpu else {"bundle_per_worker": {"CPU": _share(self.workers)}},
            log_engine_metrics=False,
            chat_template_stage=False,
            tokenize_stage=False,
            detokenize_stage=False,
        )
        idle: dict[str, Any] = {"num_cpus": 0}  # the CPUs are the engines'
        few = idle | {"compute": ray.data.TaskPoolStrategy(self.workers)}  # each of these tasks is a process
        process = build_processor(config, postprocess=kept, preprocess_map_kwargs=idle, postprocess_map_kwargs=few)
        return process(ray.data.from_items([0]).flat_map(drawn, num_cpus=0))

    def generate(self, requests: Iterable[Request]) -> Generator[tuple[int, Record], None, None]:
        """Yield (place, completion) as they finish; two batches a worker wait inside at most, so memory is bounded.

        Ray replaces an engine that dies and repeats its requests. Raises StudyError when more than that breaks; load()
        then starts anew.
        """
        assert self._queue is not None, "load() comes first"
        waiting = iter(enumerate(requests))
        inside: dict[int, tuple[int, Request]] = {}
        while True:
            while len(inside) < 2 * self.max_seqs * self.workers and (item := next(waiting, None)) is not None:
                inside[self._send(item[1])] = item
            if not inside:
                return
            row = self._receive()
            if (found := inside.pop(row["ticket"], None)) is not None:
                place, request = found
                yield place, self._completion(request, row)

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text."""
        return count_tokens(self.model.path, text)

    def close(self) -> None:
        """End the pipeline and leave the cluster; one that was started here ends."""
        self._queue, self._rows = None, iter(())
        if self._joined:
            import ray

            ray.shutdown()
            self._joined = False

    def _send(self, request: Request) -> int:
        assert self._queue is not None
        ticket = next(self._tickets)
        self._queue.put({"ticket": ticket, "prompt": request.prompt, "sampling_params": sampling(request)})
        return ticket

    def _receive(self) -> Record:
        try:
            return next(self._rows)
        except BaseException as error:  # an interrupt ends the pipeline, too
            self.close()
            if isinstance(error, StopIteration):  # the worker that draws requests has died
                raise StudyError("Ray's pipeline ended early; what is complete is stored: run again") from error
            raise

    def _completion(self, request: Request, row: Record) -> Record:
        prompt_tokens, tokens = row["num_input_tokens"], row["num_generated_tokens"]
        full = tokens == request.max_tokens or prompt_tokens + tokens >= self.window
        return {
            "text": row["generated_text"],
            "finish_reason": "length" if full else "stop",
            "prompt_tokens": prompt_tokens,
            "cached_tokens": 0,
            "tokens": tokens,
        }


def _share(workers: int) -> int:
    """The CPUs of each of `workers` that are spread evenly over the nodes."""
    import ray

    cpus = [count for node in ray.nodes() if node["Alive"] and (count := int(node["Resources"].get("CPU", 0)))]
    return max(1, min(cpus) // -(-workers // len(cpus)))
