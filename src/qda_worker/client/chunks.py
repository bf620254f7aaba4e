"""How the texts of a list are divided between messages."""

from collections.abc import Iterator, Sequence


def chunk_slices(sizes: Sequence[int], max_items: int, max_bytes: int) -> Iterator[slice]:
    """Yield successive slices that together cover all items once, each as long as both limits allow.

    Args:
        sizes: size in bytes of each item's message, without the header that a repeated field adds.
        max_items: items in one slice, at least 1.
        max_bytes: bytes of the items in one slice, including those headers. A single larger item gets a slice of
            its own: `texts` has checked that a request can hold it.
    """
    start = total = 0
    for index, size in enumerate(sizes):
        encoded = size + field_overhead(size)
        if index > start and (index - start == max_items or total + encoded > max_bytes):
            yield slice(start, index)
            start, total = index, 0
        total += encoded
    if start < len(sizes):
        yield slice(start, len(sizes))


def field_overhead(size: int) -> int:
    """Return the bytes before an embedded message of `size` bytes: its tag (field number below 16) and its length.

    The length is a varint, 7 bits a byte: https://protobuf.dev/programming-guides/encoding/.
    """
    return 1 + max(1, (size.bit_length() + 6) // 7)
