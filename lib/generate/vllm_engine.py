"""In-process vLLM, on a CPU or a GPU: continuous batching, prefix caching, a seed for every request."""

import gc
import importlib.metadata
import logging
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lib.generate.protocol import Request
from lib.models import Model
from lib.records import Record
from lib.study import say

if TYPE_CHECKING:
    import vllm

# Prompt and completion together: eight exemplars take about 2,500 tokens, the paper's window was 3,000 (section 6).
CONTEXT_TOKENS = 4096
SETTINGS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine lives and dies with this process: nothing is left over
    "VLLM_CPU_KVCACHE_SPACE": "2",  # GiB
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}


class Vllm:
    """A vLLM engine for one local model; `max_seqs` sequences are decoded at once."""

    def __init__(self, model: Model, max_seqs: int = 64) -> None:
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        import torch

        self.on_gpu = torch.cuda.is_available()
        self.model, self.revision, self.max_seqs = model, model.revision, max_seqs
        self.version = f"vllm {importlib.metadata.version('vllm' if self.on_gpu else 'vllm-cpu')}"
        self._llm: vllm.LLM | None = None

    def load(self) -> None:
        """Load the weights, once."""
        if self._llm is not None:
            return
        say(f"loading {self.model.name} into vLLM")
        import vllm

        logging.getLogger("vllm").setLevel(logging.ERROR)
        self._llm = vllm.LLM(
            str(self.model.path),
            dtype="bfloat16",
            max_model_len=CONTEXT_TOKENS,
            max_num_seqs=self.max_seqs,
            enable_prefix_caching=True,
            # vLLM 0.32 on a CPU crashes on seeded sampling when a prompt is prefilled in chunks
            # ("CPU Generator does not use offset"), so every prompt must fit one step.
            enable_chunked_prefill=self.on_gpu,
            max_num_batched_tokens=CONTEXT_TOKENS,
            enforce_eager=not self.on_gpu,
            disable_log_stats=True,
        )

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Record]]:
        """Yield (place, completion) as they finish; two batches at most wait inside, so memory is bounded."""
        assert self._llm is not None, "load() comes first"
        engine = self._llm.llm_engine
        waiting = iter(enumerate(requests))
        inside = 0
        while True:
            while inside < 2 * self.max_seqs and (item := next(waiting, None)) is not None:
                place, request = item
                engine.add_request(str(place), request.prompt, _sampling(request))
                inside += 1
            if not inside:
                return
            for output in engine.step():
                if output.finished:
                    inside -= 1
                    yield int(output.request_id.split("-")[0]), _completion(output)

    def close(self) -> None:
        """Drop the model and its key-value cache."""
        self._llm = None
        gc.collect()
        if self.on_gpu:
            import torch

            torch.cuda.empty_cache()


def _sampling(request: Request) -> Any:
    from vllm import SamplingParams

    stop = list(request.stop)
    return SamplingParams(temperature=request.temperature, max_tokens=request.max_tokens, stop=stop, seed=request.seed)


def _completion(output: Any) -> Record:
    (choice,) = output.outputs
    return {
        "text": choice.text,
        "finish_reason": choice.finish_reason,
        "prompt_tokens": len(output.prompt_token_ids),
        "cached_tokens": output.num_cached_tokens or 0,
        "tokens": len(choice.token_ids),
    }
