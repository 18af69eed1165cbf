"""Go's template language: text to tree, tree and data to text. Pure, no I/O.

Left out is what no model's template uses: complex numbers, the functions `call`, `html`, `js` and
`urlquery`, and the verbs `%U`, `%b` and `%O` of `printf`. A template that uses one is refused with
a TemplateError that names it.
"""

from gateway.golang.template.execute import execute
from gateway.golang.template.parser import parse
from gateway.golang.values import MISSING, GoList, GoMap, GoStruct, TemplateError

__all__ = ["MISSING", "GoList", "GoMap", "GoStruct", "TemplateError", "execute", "parse"]
