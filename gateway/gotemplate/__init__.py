"""Go's template language: text to tree, tree and data to text. Pure, no I/O."""

from gateway.gotemplate.execute import execute
from gateway.gotemplate.parser import parse
from gateway.gotemplate.values import MISSING, Fields, Listing, Struct, TemplateError

__all__ = ["MISSING", "Fields", "Listing", "Struct", "TemplateError", "execute", "parse"]
