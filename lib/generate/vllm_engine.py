"""In-process vLLM on a CPU or a GPU: continuous batching, prefix caching, a seed per request."""

import gc
import importlib.metadata
import itertools
import logging
import os
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any

from lib.core.models import Model
from lib.core.progress import say
from lib.core.records import Record, StudyError
from lib.core.tokenizer import tokenizer_folder
from lib.generate.protocol import Request
from lib.generate.tokens import count_tokens
from lib.generate.window import says_too_long, too_long

if TYPE_CHECKING:
    import vllm

# Prompt and completion together; the paper's window was 3,000 (section 6).
CONTEXT_TOKENS = 4096
SETTINGS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine ends with this process, however it ends
    "VLLM_CPU_KVCACHE_SPACE": "2",  # GiB
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}


def engine_arguments(model: Model, max_seqs: int, on_gpu: bool, **others: Any) -> dict[str, Any]:
    """Return the arguments that start vLLM, here and on a cluster; `others` are added or take precedence."""
    return {
        "tokenizer": str(tokenizer_folder(model.path, model.name)),
        "dtype": "bfloat16",
        "max_model_len": CONTEXT_TOKENS,
        "max_num_seqs": max_seqs,
        "enable_prefix_caching": True,
        # vLLM 0.32 on a CPU crashes in seeded sampling if a prompt is prefilled in chunks ("CPU Generator does not
        # use offset"), so every prompt must fit into one step.
        "enable_chunked_prefill": on_gpu,
        "max_num_batched_tokens": CONTEXT_TOKENS,
        "enforce_eager": not on_gpu,
        "disable_log_stats": True,
        **others,
    }


def sampling(request: Request) -> dict[str, Any]:
    """Return the arguments of a request's SamplingParams."""
    return {
        "temperature": float(request.temperature),
        "max_tokens": request.max_tokens,
        "stop": list(request.stop),
        "seed": request.seed,
        **({} if request.top_p == 1 else {"top_p": float(request.top_p)}),
    }


class Vllm:
    """A vLLM engine for one local model; `max_seqs` sequences are decoded at once.

    `arguments` are passed on to vllm.LLM (tensor_parallel_size, gpu_memory_utilization, ...). For several engines side
    by side, each with its share of the requests, see the Ray engine's `workers`.
    """

    def __init__(self, model: Model, max_seqs: int = 64, **arguments: Any) -> None:
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        import torch

        self.on_gpu = torch.cuda.is_available()
        self.on_cpu = not self.on_gpu
        self.model, self.revision, self.max_seqs = model, model.revision, max_seqs
        self.version = f"vllm {importlib.metadata.version('vllm' if self.on_gpu else 'vllm-cpu')}"
        self.arguments = arguments
        self._tickets = itertools.count()  # unique also across calls
        self._llm: vllm.LLM | None = None

    def load(self) -> None:
        """Load the weights, once."""
        if self._llm is not None:
            return
        say(f"loading {self.model.name} into vLLM")
        import vllm

        logging.getLogger("vllm").setLevel(logging.ERROR)
        arguments = engine_arguments(self.model, self.max_seqs, self.on_gpu, **self.arguments)
        try:
            self._llm = vllm.LLM(str(self.model.path), **arguments)
        except (TypeError, ValueError) as error:  # an unknown argument, a window that does not fit
            why = " ".join(str(error).split())[:300]
            remedy = "fix ENGINE_OPTIONS, or choose a smaller model"
            raise StudyError(f"vLLM refuses {self.model.name}: {why}; {remedy}") from error

    def generate(self, requests: Iterable[Request]) -> Generator[tuple[int, Record], None, None]:
        """Yield (index, completion) as they finish; at most two batches are held, so memory is bounded."""
        assert self._llm is not None, "load() comes first"
        from vllm import SamplingParams
        from vllm.exceptions import VLLMValidationError

        engine = self._llm.llm_engine
        waiting = iter(enumerate(requests))
        inside: dict[str, int] = {}
        try:
            while True:
                while len(inside) < 2 * self.max_seqs and (item := next(waiting, None)) is not None:
                    ticket = str(next(self._tickets))
                    try:
                        engine.add_request(ticket, item[1].prompt, SamplingParams(**sampling(item[1])))
                    except VLLMValidationError as error:
                        if not says_too_long(str(error)):
                            raise
                        yield item[0], too_long()
                        continue
                    inside[ticket] = item[0]
                if not inside:
                    return
                for output in engine.step():
                    if output.finished:
                        yield inside.pop(output.request_id), _completion(output)
        finally:  # after an interrupted call, the next one must not get its completions
            engine.abort_request(list(inside))

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text."""
        return count_tokens(self.model.path, text)

    def close(self) -> None:
        """Drop the model and its key-value cache."""
        self._llm = None
        gc.collect()
        if self.on_gpu:
            import torch

            torch.cuda.empty_cache()


def _completion(output: Any) -> Record:
    (choice,) = output.outputs
    return {
        "text": choice.text,
        "finish_reason": choice.finish_reason,
        "prompt_tokens": len(output.prompt_token_ids),
        "cached_tokens": output.num_cached_tokens or 0,
        "tokens": len(choice.token_ids),
    }
