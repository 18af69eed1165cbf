"""What to send instead of a call that the engine refused, or that cannot go on."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from gateway.errors import Invalid
from gateway.inference.history import (
    drop_before,
    drop_points,
    with_one_system_message,
    without_middle,
)
from gateway.inference.prompt import PromptBuilder, RenderedCompletion
from gateway.inference.types import Attempt, PromptState
from gateway.llama.errors import CacheMiss, ContextOverflow, EngineError, TemplateRefused
from gateway.llama.events import CompletionEventReader
from gateway.llama.queries import tokenize
from gateway.llama.sse import RestartNeeded
from gateway.templates import forced_call
from runners import Lease

# The common case costs one call: only when the engine refuses a prompt for its length is it known
# that it must be shortened. Then the oldest messages go, as many as must, while system messages and
# the last one stay; and if that one alone is too long, the middle of its prompt goes.

Failure = EngineError | RestartNeeded
Recovery = Callable[[PromptBuilder, Lease, Attempt, Failure], Awaitable[PromptState | None]]
"""What the next call is made of; None where this is no answer to the failure."""

PROMPT_TOO_LONG = (
    "the prompt is longer than the context length currently available to the model; shorten the "
    "prompt, adjust the context length in settings, or use a model with a longer context length"
)


async def retry_uncached(
    builder: PromptBuilder, lease: Lease, attempt: Attempt, failure: Failure
) -> PromptState | None:
    """The same prompt without the cache, once."""
    if not isinstance(failure, CacheMiss) or not attempt.state.cached:
        return None
    return replace(attempt.state, cached=False)


async def merge_system(
    builder: PromptBuilder, lease: Lease, attempt: Attempt, failure: Failure
) -> PromptState | None:
    """One system message, the first, for a template that refused the conversation; once."""
    state = attempt.state
    if not isinstance(failure, TemplateRefused) or state.system_merged:
        return None
    merged = with_one_system_message(state.messages)
    if merged == list(state.messages):
        return None
    return replace(state, messages=merged, system_merged=True)


async def drop_oldest(
    builder: PromptBuilder, lease: Lease, attempt: Attempt, failure: Failure
) -> PromptState | None:
    """Leave out as few of the oldest messages as must go."""
    if not _may_shorten(builder, failure) or not builder.can_drop(attempt.state):
        return None
    return await _without_oldest(builder, lease, attempt.state)


async def _without_oldest(builder: PromptBuilder, lease: Lease, state: PromptState) -> PromptState:
    # By halving: a conversation of 60 messages takes six counts. From the second time on, one
    # message goes: what fits by Ollama's count may be a token or two too long for the engine.
    points = drop_points(state.messages)
    low = 0
    high = 0 if state.shortened else len(points) - 1
    while low < high:
        middle = (low + high) // 2
        if await builder.fits(lease, drop_before(state.messages, points[middle])):
            high = middle
        else:
            low = middle + 1
    messages = drop_before(state.messages, points[low])
    dropped = state.dropped_messages + len(state.messages) - len(messages)
    return replace(state, messages=messages, shortened=True, dropped_messages=dropped)


async def cut_middle(
    builder: PromptBuilder, lease: Lease, attempt: Attempt, failure: Failure
) -> PromptState | None:
    """A prompt that is no whole conversation any more; Invalid where the context may not shift."""
    if not _may_shorten(builder, failure) or not isinstance(builder, RenderedCompletion):
        return None
    # Which tokens are an image's is not known, so a prompt with media is not cut.
    if attempt.media or attempt.state.tokens is not None or builder.can_drop(attempt.state):
        return None
    generation = builder.generation
    if not generation.spec.context_shift:
        raise Invalid(PROMPT_TOO_LONG)
    whole = await tokenize(lease, attempt.text, special=True)
    plain = await tokenize(lease, attempt.text)
    keep = generation.sampling["n_keep"]
    assert isinstance(keep, int)
    # `num_keep` does not count what the vocabulary puts before a prompt.
    keep = (keep + len(whole) - len(plain)) if keep >= 0 else -1
    kept = without_middle(whole, generation.context, keep)
    return replace(
        attempt.state,
        text=attempt.text,
        bos=attempt.bos,
        tokens=kept,
        dropped_tokens=len(whole) - len(kept),
    )


async def continue_reply(
    builder: PromptBuilder, lease: Lease, attempt: Attempt, failure: Failure
) -> PromptState | None:
    """Go on from what was written: to the format after thinking, or with a call after text."""
    if not isinstance(failure, RestartNeeded) or not isinstance(builder, RenderedCompletion):
        return None
    assert isinstance(attempt.reader, CompletionEventReader)
    text = attempt.text + "".join(attempt.reader.pieces)
    if builder.must_call:
        text += forced_call.opening(builder.tool_tag)
    return replace(
        attempt.state,
        text=text,
        media=attempt.media,
        bos=attempt.bos,
        tokens=None,
        continued=True,
        forcing=builder.must_call,
        spent=attempt.reader.spent,
        prompt_tokens=attempt.reader.prompt_tokens,
    )


# Each failure has one answer, but an overflow has two, `drop_oldest` before `cut_middle`: a model
# makes more of a conversation that begins late than of a torn message.
RECOVERIES: tuple[Recovery, ...] = (
    retry_uncached,
    merge_system,
    drop_oldest,
    cut_middle,
    continue_reply,
)


async def recover(
    builder: PromptBuilder, lease: Lease, attempt: Attempt, failure: Failure
) -> Attempt | None:
    """Another attempt; None where there is none. Each recovery gives up by itself in the end."""
    for recovery in RECOVERIES:
        if state := await recovery(builder, lease, attempt, failure):
            return await builder.attempt(lease, state)
    return None


async def hold_to_context(builder: PromptBuilder, lease: Lease, attempt: Attempt) -> Attempt:
    """An attempt whose prompt fits the request's own context, on a runner that has a larger one."""
    # The runner would not refuse what is too long here, so the tokens are counted. That is spared a
    # body of fewer bytes than the context has tokens.
    context = builder.generation.context
    while len(attempt.call.body) >= context:
        count = await builder.count_sent(lease, attempt)
        if count < context:
            break
        overflow = ContextOverflow.of(count, context)
        shorter = await recover(builder, lease, attempt, overflow)
        if shorter is None:
            raise overflow
        attempt = shorter
    return attempt


async def fitted(builder: PromptBuilder, lease: Lease) -> PromptState:
    """The state of a prompt that is shown, not run: shortened now if it had to be."""
    state = builder.start
    if not builder.generation.request.truncate or not builder.can_drop(state):
        return state
    if await builder.fits(lease, state.messages):
        return state
    return await _without_oldest(builder, lease, state)


def _may_shorten(builder: PromptBuilder, failure: Failure) -> bool:
    return isinstance(failure, ContextOverflow) and builder.generation.request.truncate
