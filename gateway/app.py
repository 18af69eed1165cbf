"""The whole HTTP surface: routes, middleware, error handlers."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Match, Route

from gateway.api.anthropic import routes as anthropic
from gateway.api.anthropic.errors import ANTHROPIC
from gateway.api.embeddings import routes as embeddings
from gateway.api.errors import ErrorResponses, allow
from gateway.api.ollama import chat_routes as ollama
from gateway.api.ollama import library_routes as library
from gateway.api.ollama import status_routes as status
from gateway.api.ollama import transfer_routes as transfer
from gateway.api.openai import routes as openai
from gateway.api.openai_error import OPENAI
from gateway.api.rerank import routes as rerank
from gateway.api.responses import routes as responses
from gateway.api.transcription import routes as audio
from gateway.http.guard import OriginGuard, OriginPolicy
from gateway.http.request_log import RequestLog
from gateway.services import Services

# Starlette tries them in turn, so what is requested often comes first.
ROUTES = [
    Route("/api/generate", ollama.generate_text, methods=["POST"]),
    Route("/api/chat", ollama.chat, methods=["POST"]),
    Route("/api/embed", embeddings.embed, methods=["POST"]),
    Route("/api/embeddings", embeddings.old_embed, methods=["POST"]),
    Route("/v1/chat/completions", openai.chat_completions, methods=["POST"]),
    Route("/v1/completions", openai.completions, methods=["POST"]),
    Route("/v1/responses", responses.create, methods=["POST"]),
    Route("/v1/responses/{response}", responses.stored_response, methods=["GET", "DELETE"]),
    Route("/v1/responses/{response}/input_items", responses.stored_input_items, methods=["GET"]),
    Route("/v1/embeddings", embeddings.openai_embed, methods=["POST"]),
    Route("/v1/rerank", rerank.rerank, methods=["POST"]),
    Route("/v2/rerank", rerank.rerank, methods=["POST"]),
    Route("/v1/audio/transcriptions", audio.transcriptions, methods=["POST"]),
    Route("/v1/messages", anthropic.messages, methods=["POST"], middleware=anthropic.MIDDLEWARE),
    Route(
        "/v1/messages/count_tokens",
        anthropic.count_tokens,
        methods=["POST"],
        middleware=anthropic.MIDDLEWARE,
    ),
    Route("/", status.root, methods=["GET", "HEAD"]),
    Route("/api/version", status.version, methods=["GET", "HEAD"]),
    Route("/api/status", status.cloud, methods=["GET"]),
    Route("/api/ps", status.ps, methods=["GET"]),
    Route("/api/tags", library.tags, methods=["GET", "HEAD"]),
    Route("/api/show", library.show, methods=["POST"]),
    Route("/api/create", library.create, methods=["POST"]),
    Route("/api/copy", library.copy, methods=["POST"]),
    Route("/api/delete", library.delete, methods=["DELETE"]),
    Route("/api/blobs/{digest}", library.blob, methods=["HEAD", "POST"]),
    Route("/api/pull", transfer.pull, methods=["POST"]),
    Route("/api/push", transfer.push, methods=["POST"]),
    Route("/v1/models", openai.models, methods=["GET"]),
    Route("/v1/models/{model:path}", openai.model, methods=["GET"]),
]

# Starlette lets every GET answer HEAD too; Ollama's clients see by the 405 that it is not there.
_HEADLESS = (
    "/api/status",
    "/api/ps",
    "/v1/models",
    "/v1/models/{model:path}",
    "/v1/responses/{response}",
    "/v1/responses/{response}/input_items",
)
for _route in ROUTES:
    if _route.path in _HEADLESS and _route.methods:
        _route.methods.discard("HEAD")


def methods(path: str) -> str:
    """What a path takes, as an Allow header lists it; empty for a path that is not there."""
    scope = {"type": "http", "path": path, "method": "GET", "root_path": ""}
    taken = {
        method
        for route in ROUTES
        if route.matches(scope)[0] is not Match.NONE
        for method in route.methods or ()
    }
    return allow(taken)


def create_app(services: Services, policy: OriginPolicy) -> Starlette:
    """The ASGI application around `services`."""
    app = Starlette(
        routes=ROUTES,
        middleware=[
            Middleware(RequestLog),
            Middleware(OriginGuard, policy=policy, methods=methods),
        ],
        exception_handlers=dict(ErrorResponses((ANTHROPIC, OPENAI)).handlers),
    )
    app.router.redirect_slashes = False
    app.state.services = services
    return app
