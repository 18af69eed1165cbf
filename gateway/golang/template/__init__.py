"""Go's template language: text to tree, tree and data to text. Pure, no I/O."""

from gateway.golang.template.execute import execute
from gateway.golang.template.parser import parse
from gateway.golang.template.values import MISSING, Fields, Listing, Struct, TemplateError

__all__ = ["MISSING", "Fields", "Listing", "Struct", "TemplateError", "execute", "parse"]
