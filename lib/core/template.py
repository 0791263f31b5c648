"""The prompt template: the text around an instruction and its response, the same in training and in evaluation."""

# The study's wording of the system sentence that the official prompt_template.py puts before every instruction.
SYSTEM = (
    "You are an outstandingly capable programming assistant. "
    "Every instruction you are given, you answer precisely and dependably."
)


def render_prompt(instruction: str) -> str:
    """Return the text before a response; training and evaluation use this template alone."""
    return f"{SYSTEM}\n\n### Instruction\n{instruction.strip()}\n\n### Response\n"


def render_example(instruction: str, response: str) -> tuple[str, str]:
    """Return (prompt, completion); the loss is taken on the completion and the EOS token after it."""
    return render_prompt(instruction), response.strip()
