"""OpenAI's Responses API: answers, and those that were stored."""

import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from gateway.api.reply import PLAIN_JSON, json_reply
from gateway.api.responses import requests as responses
from gateway.api.responses.items import Item, items, references, resolved
from gateway.api.responses.stream import Reply, Style
from gateway.api.responses.tools import Tool
from gateway.errors import GatewayError, Invalid, NotFound
from gateway.inference.handler import find_model, generate
from gateway.services import services_of
from gateway.store.responses import Responses, StoredResponse

log = logging.getLogger(__name__)

_MOST_ITEMS = 100


async def create(request: Request) -> Response:
    """An answer, as events or whole; stored before its end is told, so that it can be named."""
    body = responses.body(await request.body())
    responses.check(body)
    store = services_of(request).responses
    token = secrets.token_hex(12)
    fresh = await _looked_up(store, items(body.get("input"), token))
    conversation = [*await _earlier(store, body), *fresh]
    tools = responses.tools(body, conversation)
    turn = responses.turn(body, conversation, tools)
    name = body.get("model", "")
    if not name.strip():
        raise Invalid("model is required")
    frame = responses.frame(body, f"resp_{token}", int(time.time()))
    reply = Reply(frame, token, lambda: int(time.time()), _style(body, tools))
    model = await find_model(request, name)
    answer = await generate(request, model, turn, reply)
    if store is None or not body.get("store", True):
        return answer
    return Storing(answer, lambda: _keep(store, reply, fresh))


async def stored(request: Request) -> Response:
    """Show a stored response, or forget it."""
    ident = request.path_params["response"]
    if request.method == "DELETE":
        await run_sync(_store(request, ident).delete, ident)
        gone = {"id": ident, "object": "response", "deleted": True}
        return json_reply(gone, media_type=PLAIN_JSON)
    if request.query_params.get("stream", "false") != "false":
        raise Invalid("'stream' is not supported: a stored response is shown whole")
    _check_include(request)
    found = await run_sync(_store(request, ident).get, ident)
    return json_reply(found, media_type=PLAIN_JSON)


async def input_items(request: Request) -> Response:
    """What a stored response was asked with: a page of it, the last items first."""
    _check_include(request)
    ident = request.path_params["response"]
    found = await run_sync(_store(request, ident).inputs, ident)
    return json_reply(page(found, request.query_params), media_type=PLAIN_JSON)


def page(found: list[Item], query: Mapping[str, str]) -> dict[str, Any]:
    """The part of a list that `limit`, `order` and `after` ask for."""
    limit, order, after = query.get("limit", "20"), query.get("order", "desc"), query.get("after")
    if not limit.isdecimal() or len(limit) > 3 or not 1 <= int(limit) <= _MOST_ITEMS:
        raise Invalid(f"'limit' must be between 1 and {_MOST_ITEMS}")
    if order not in ("asc", "desc"):
        raise Invalid("'order' must be asc or desc")
    ordered = found if order == "asc" else found[::-1]
    if after is not None:
        places = [place for place, item in enumerate(ordered) if item["id"] == after]
        if not places:
            raise Invalid(f"'after' names {after!r}, which is not in the list")
        ordered = ordered[places[0] + 1 :]
    shown = ordered[: int(limit)]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(shown) < len(ordered),
    }


class Storing(Response):
    """An answer, and what is to be done before the last of it is sent."""

    def __init__(self, answer: Response, keep: Callable[[], Awaitable[None]]) -> None:
        self.background = None
        self._answer = answer
        self._keep = keep

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body"):
                await self._keep()
            await send(message)

        await self._answer(scope, receive, sending)


async def _keep(store: Responses, reply: Reply, fresh: list[Item]) -> None:
    """Store what was said; a reply that failed is not stored, and one that is not is still sent."""
    if reply.response is None:
        return
    kept = StoredResponse({**reply.response, "store": True}, fresh)
    try:
        if not await run_sync(store.save, kept):
            log.warning("response %s is larger than all the room there is", kept.response["id"])
    except GatewayError as exc:
        log.warning("response %s is not stored: %s", kept.response["id"], exc)


async def _looked_up(store: Responses | None, fresh: list[Item]) -> list[Item]:
    wanted = references(fresh)
    found = await run_sync(store.find, wanted) if wanted and store else {}
    return resolved(fresh, found)


async def _earlier(store: Responses | None, body: Mapping[str, Any]) -> list[Item]:
    """The conversation that the request goes on from."""
    ident = body.get("previous_response_id")
    if not ident:
        return []
    if store is None:
        raise Invalid("'previous_response_id' is not supported: this server stores no responses")
    try:
        return await run_sync(store.history, ident)
    except NotFound:
        raise Invalid(f"Previous response with id '{ident}' not found.") from None


def _check_include(request: Request) -> None:
    """What is stored is shown as it is; but a word that means nothing is Invalid."""
    query = request.query_params
    responses.check_include([*query.getlist("include"), *query.getlist("include[]")])


def _store(request: Request, ident: str) -> Responses:
    found = services_of(request).responses
    if found is None:
        raise NotFound(f"Response with id '{ident}' not found.")
    return found


def _style(body: Mapping[str, Any], tools: Mapping[str, Tool]) -> Style:
    reasoning = body.get("reasoning", {})
    return Style(
        stream=body.get("stream", False),
        alternatives=responses.logprobs(body),
        parts=bool(reasoning.get("summary") or reasoning.get("generate_summary")),
        cached=bool(body.get("prompt_cache_key") or body.get("previous_response_id")),
        tools=tools,
    )
