"""In-process transformers with continuous batching, for a GPU machine on which vLLM does not run."""

import gc
import importlib.metadata
import itertools
import logging
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lib.core.models import Model
from lib.core.progress import say
from lib.core.records import Record, StudyError
from lib.core.tokenizer import open_tokenizer
from lib.generate.protocol import Request, stopped
from lib.generate.tokens import count_tokens
from lib.generate.vllm_engine import CONTEXT_TOKENS
from lib.generate.window import too_long

if TYPE_CHECKING:
    from transformers.generation.continuous_batching import ContinuousBatchingManager
    from transformers.generation.continuous_batching.requests import GenerationOutput

# On a GPU the key-value cache takes all free memory. On a CPU that would be all of the machine's, so it is limited to
# 65,536 tokens (256 per block), and a step's attention mask, with a column for each of them, to 130 MB.
CPU_SIZES: dict[str, Any] = {"num_blocks": 256, "max_batch_tokens": 1024}


class Transformers:
    """A transformers model in bf16, on the GPU if there is one; `max_seqs` sequences are decoded at once.

    Its batching has no seed per request: sampling is seeded once per run of neighbouring sampled requests, from the
    first of them, and depends on which requests share a step. Greedy completions differ by rounding only.
    It does not report how much of a prompt was cached: `cached_tokens` is 0.
    """

    def __init__(self, model: Model, max_seqs: int) -> None:
        self.model, self.revision, self.max_seqs = model, model.revision, max_seqs
        self.version = f"transformers {importlib.metadata.version('transformers')}"
        self._lm: Any = None
        self._tokenizer: Any = None

    def load(self) -> None:
        """Load the weights, once."""
        if self._lm is not None:
            return
        say(f"loading {self.model.name} into transformers")
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.utils.import_utils import is_flash_attn_2_available
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        logging.getLogger("ContinuousBatchingLogger").setLevel(logging.CRITICAL)  # errors are raised below
        # Without flash attention each sequence of a step also attends to the others' keys, masked.
        attention = "flash_attention_2" if is_flash_attn_2_available() else "sdpa"
        self._tokenizer = open_tokenizer(self.model.path)
        path = str(self.model.path)
        lm: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16, attn_implementation=attention)
        self._lm = lm.to("cuda" if torch.cuda.is_available() else "cpu")
        self.on_cpu = not torch.cuda.is_available()
        self._window = min(CONTEXT_TOKENS, lm.config.max_position_embeddings)
        ends = lm.generation_config.eos_token_id
        self._ends = ends if isinstance(ends, list) else [-1 if ends is None else ends]

    def generate(self, requests: Iterable[Request]) -> Generator[tuple[int, Record], None, None]:
        """Yield (index, completion) as they finish; at most two batches are held.

        A batch is greedy, draws from all tokens, or draws from the likeliest ones (top_p), as a whole, so neighbours of
        the same kind make one run. Raises StudyError if memory is too small.
        """
        assert self._lm is not None, "load() comes first"
        for kind, run in itertools.groupby(enumerate(requests), lambda item: _shaped(item[1])):
            yield from self._run(run, kind)

    def _run(self, waiting: Iterator[tuple[int, Request]], shaped: tuple[str, ...]) -> Iterator[tuple[int, Record]]:
        first = next(waiting)
        waiting = itertools.chain([first], waiting)
        manager = self._manager(shaped, first[1].seed or 0)
        inside: dict[str, tuple[int, Request]] = {}
        manager.start()
        try:
            while True:
                while len(inside) < 2 * self.max_seqs and (item := next(waiting, None)) is not None:
                    if self._add(manager, *item):
                        inside[str(item[0])] = item
                    else:
                        yield item[0], too_long()
                if not inside:
                    return
                output = manager.get_result(timeout=1)
                if output is None and not manager.is_running():
                    raise _broken(manager.background_thread_status.fatal_error)
                if output is None or output.request_id not in inside:  # of a cancelled request
                    continue
                if output.error is not None:
                    raise _broken(output.error)
                index, request = inside[output.request_id]
                if (completion := self._completion(request, output)) is not None:
                    del inside[output.request_id]
                    manager.cancel_request(output.request_id)
                    yield index, completion
        finally:
            manager.stop(hard_stop=True)

    def _manager(self, shaped: tuple[str, ...], seed: int) -> "ContinuousBatchingManager":
        from transformers import GenerationConfig
        from transformers.generation.configuration_utils import ContinuousBatchingConfig

        # A request's own values are heeded only if the run's are not 1.
        sampling: dict[str, Any] = dict.fromkeys(shaped, 0.5)
        return self._lm.init_continuous_batching(
            GenerationConfig(eos_token_id=self._ends, do_sample=bool(shaped), **sampling),
            ContinuousBatchingConfig(
                max_requests_per_batch=self.max_seqs,
                per_request_processors=True,
                seed=seed,
                auto_switch_to_flash=False,  # would fetch a kernel from the hub
                use_async_batching=False,  # it would run a step ahead, with cancelled requests
                **(CPU_SIZES if self._lm.device.type == "cpu" else {}),
            ),
        )

    def _add(self, manager: "ContinuousBatchingManager", index: int, request: Request) -> bool:
        """Hand a request to the manager; return False if its prompt leaves no room in the window."""
        prompt = self._tokenizer(request.prompt)["input_ids"]
        room = self._window - len(prompt)
        if room < 1:
            return False
        own: dict[str, Any] = {name: float(getattr(request, name)) for name in _shaped(request)}
        manager.add_request(
            prompt,
            request_id=str(index),
            max_new_tokens=min(request.max_tokens, room),
            streaming=bool(request.stop),  # shows a stop string at once: batching itself knows end tokens only
            **own,
        )
        return True

    def _completion(self, request: Request, output: "GenerationOutput") -> Record | None:
        """Return the completion if it is finished or holds a stop string, else None."""
        tokens = output.generated_tokens
        if not output.is_finished():
            # A stop string of n bytes that has just been completed lies within the last n tokens.
            tail = self._text(tokens[-1 - max(len(stop.encode()) for stop in request.stop) :])
            if not any(stop in tail for stop in request.stop):
                return None
        text = self._text(tokens)
        cut = stopped(text, request.stop)
        if cut is None and not output.is_finished():
            return None
        return {
            "text": text if cut is None else cut,
            "finish_reason": "stop" if cut is not None or tokens[-1] in self._ends else "length",
            "prompt_tokens": len(output.prompt_ids),
            "cached_tokens": 0,
            "tokens": len(tokens),
        }

    def _text(self, tokens: list[int]) -> str:
        return continued(self._tokenizer, tokens)

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text."""
        return count_tokens(self.model.path, text)

    def close(self) -> None:
        """Drop the model."""
        self._lm = None
        gc.collect()
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _shaped(request: Request) -> tuple[str, ...]:
    """Return the names of the values that shape a request's distribution: none if it is greedy."""
    if request.temperature == 0:
        return ()
    return ("temperature",) if request.top_p == 1 else ("temperature", "top_p")


def continued(tokenizer: Any, tokens: Sequence[int]) -> str:
    """Return what tokens add to a text, control tokens left out.

    A tokenizer that writes spaces as ▁ takes one away where a text begins, so a letter is decoded before the tokens.
    """
    letter = tokenizer("x", add_special_tokens=False)["input_ids"]
    return tokenizer.decode([*letter, *tokens], skip_special_tokens=True, clean_up_tokenization_spaces=False)[1:]


def _broken(error: object) -> StudyError:
    return StudyError(f"transformers failed ({error}); choose a smaller MAX_SEQS or a smaller model")
