"""Tags in a text that comes in pieces."""


def beginning(text: str, tag: str) -> int:
    """How many characters at the end of `text` may be the beginning of `tag`, short of all of it.

    >>> beginning("2 <", "<think>")
    1
    """
    for size in range(min(len(text), len(tag) - 1), 0, -1):
        if text.endswith(tag[:size]):
            return size
    return 0
