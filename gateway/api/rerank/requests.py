"""Requests for reranking: how well does each of some documents answer a query?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.api.fields import RequestTable, json_field
from gateway.errors import Invalid
from gateway.golang.duration import parse_keep_alive
from gateway.golang.json_decode import ANY, BOOL, INT, STRING, Custom, ListOf

_TEXT_FIELDS = ("text",)


# One form of request and reply for the clients of Jina and of Cohere: both read those fields of it
# that they know.
@dataclass(frozen=True, slots=True, kw_only=True)
class RerankRequest:
    model: str = json_field(STRING, default="")
    query: str = json_field(STRING, default="")
    documents: object = json_field(ANY, default=None)
    top_n: int | None = json_field(INT, default=None)
    """Results; None: all."""
    return_documents: bool = json_field(BOOL, default=False)
    rank_fields: Sequence[str] = json_field(ListOf(STRING), default=())
    max_tokens_per_doc: int | None = json_field(INT, default=None)
    """Of a document's tokens so many count; None: all."""
    # Checked, and without effect: a document is never cut into more than one chunk.
    max_chunks_per_doc: int | None = json_field(INT, default=None)
    keep_alive: float | None = json_field(Custom(parse_keep_alive), default=None)
    texts: Sequence[str] = ()
    """The documents' texts, once they are checked."""

    @property
    def results(self) -> int:
        return len(self.texts) if self.top_n is None else self.top_n


RERANK = RequestTable(RerankRequest, "RerankRequest", go="RerankRequest")


def with_texts(request: RerankRequest) -> RerankRequest:
    """The request with the texts of its documents; Invalid where something in it is wrong."""
    if not request.query:
        raise Invalid("query is required")
    if not isinstance(request.documents, list) or not request.documents:
        raise Invalid("documents must be a list of at least one")
    fields = request.rank_fields or _TEXT_FIELDS
    documents: list[str] = []
    for index, document in enumerate(request.documents):
        values = [document]
        if isinstance(document, dict):
            values = [document[field] for field in fields if field in document]
        texts = [value for value in values if isinstance(value, str)]
        if not texts or len(texts) != len(values):
            wanted = "text is one" if fields == _TEXT_FIELDS else "rank_fields are such"
            raise Invalid(f"documents[{index}] must be a string, or an object whose {wanted}")
        documents.append("\n".join(texts))
    for name in ("top_n", "max_tokens_per_doc", "max_chunks_per_doc"):
        count = getattr(request, name)
        if count is not None and count < 1:
            raise Invalid(f"{name} must be at least 1")
    return replace(request, texts=documents)
