"""OpenAI's Responses API: replies, and those that were stored."""

import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.reply import PLAIN_JSON, json_reply
from gateway.api.responses.fields import RESPONSES
from gateway.api.responses.items import (
    InputItem,
    read_items,
    referenced_ids,
    resolve_references,
)
from gateway.api.responses.object import ResponseObject
from gateway.api.responses.requests import (
    check_include,
    check_request,
    generation_request,
    reply_options,
    request_tools,
    response_frame,
)
from gateway.api.responses.stream import ResponseStream
from gateway.errors import GatewayError, Invalid, NotFound
from gateway.inference.handler import find_model, generate
from gateway.store.responses import Responses, StoredResponse

log = logging.getLogger(__name__)

_MAX_ITEMS = 100


async def create(http: Request) -> ASGIApp:
    """A response, as events or whole."""
    request = RESPONSES.decode(await http.body())
    check_request(request)
    store: Responses | None = http.app.state.services.responses
    # One random text for all ids of the reply; the items have their number behind it.
    token = secrets.token_hex(12)
    items = read_items(request.input, token)
    if wanted := referenced_ids(items):
        stored = await run_sync(store.find, wanted) if store else {}
        items = resolve_references(items, stored)
    # What is stored of this response are its own items; its past is stored already.
    conversation = items
    if request.previous_response_id:
        conversation = [*await _history(store, request.previous_response_id), *items]
    tools = request_tools(request, conversation)
    generation = generation_request(request, conversation, tools)
    if not request.model.strip():
        raise Invalid("model is required")
    writer = (ResponseStream if request.stream else ResponseObject)(
        response_frame(request, f"resp_{token}", int(time.time())),
        token,
        lambda: int(time.time()),
        reply_options(request, tools),
    )
    model = await find_model(http, request.model)
    response = await generate(http, model, generation, writer)
    if store is None or not request.store:
        return response
    return StoreBeforeEnd(response, lambda: _store_response(store, writer.response, items))


async def stored_response(http: Request) -> Response:
    """Show a stored response, or delete it."""
    ident = http.path_params["response"]
    if http.method == "DELETE":
        await run_sync(_store(http, ident).delete, ident)
        deleted = {"id": ident, "object": "response", "deleted": True}
        return json_reply(deleted, media_type=PLAIN_JSON)
    if http.query_params.get("stream", "false") != "false":
        raise Invalid("'stream' is not supported: a stored response is shown whole")
    _check_include(http)
    response = await run_sync(_store(http, ident).get, ident)
    return json_reply(response, media_type=PLAIN_JSON)


async def stored_input_items(http: Request) -> Response:
    """The items of the request for a stored response: a page of them, the last ones first."""
    _check_include(http)
    ident = http.path_params["response"]
    items = await run_sync(_store(http, ident).inputs, ident)
    return json_reply(page(items, http.query_params), media_type=PLAIN_JSON)


def page(items: Sequence[InputItem], query: Mapping[str, str]) -> dict[str, object]:
    """The part of a list that the query's `limit`, `order` and `after` select."""
    limit, order, after = query.get("limit", "20"), query.get("order", "desc"), query.get("after")
    # Python refuses to read a number of very many digits, with an error of another kind.
    if not limit.isdecimal() or len(limit) > 3 or not 1 <= int(limit) <= _MAX_ITEMS:
        raise Invalid(f"'limit' must be between 1 and {_MAX_ITEMS}")
    if order not in ("asc", "desc"):
        raise Invalid("'order' must be asc or desc")
    ordered = items if order == "asc" else items[::-1]
    if after is not None:
        positions = [position for position, item in enumerate(ordered) if item["id"] == after]
        if not positions:
            raise Invalid(f"'after' names {after!r}, which is not in the list")
        ordered = ordered[positions[0] + 1 :]
    shown = ordered[: int(limit)]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(shown) < len(ordered),
    }


class StoreBeforeEnd:
    """Sends `response`, and awaits `store` before the last of it.

    As soon as a client has the end of a response, its next request may name that response.
    """

    def __init__(self, response: ASGIApp, store: Callable[[], Awaitable[None]]) -> None:
        self._response = response
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_after_storing(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body"):
                await self._store()
            await send(message)

        await self._response(scope, receive, send_after_storing)


async def _store_response(
    store: Responses, response: Mapping[str, object] | None, items: Sequence[InputItem]
) -> None:
    """Store a response, but not one that failed: that is None."""
    if response is None:
        return
    try:
        saved = await run_sync(store.save, StoredResponse({**response, "store": True}, items))
        if not saved:
            log.warning("response %s is larger than all the room there is", response["id"])
    except GatewayError as exc:
        # The reply is good, and the client has most of it.
        log.warning("response %s is not stored: %s", response["id"], exc)


async def _history(store: Responses | None, ident: str) -> list[InputItem]:
    """The conversation that ends with a response."""
    if store is None:
        raise Invalid("'previous_response_id' is not supported: this server stores no responses")
    try:
        return await run_sync(store.history, ident)
    except NotFound:
        raise Invalid(f"Previous response with id '{ident}' not found.") from None


def _check_include(http: Request) -> None:
    # Whatever is to be included is shown anyway, but a word that means nothing is a mistake.
    query = http.query_params
    check_include([*query.getlist("include"), *query.getlist("include[]")])


def _store(http: Request, ident: str) -> Responses:
    store: Responses | None = http.app.state.services.responses
    if store is None:
        raise NotFound(f"Response with id '{ident}' not found.")
    return store
