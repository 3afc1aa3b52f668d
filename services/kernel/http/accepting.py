"""Which of the offered media types a caller would rather have (RFC 9110, section 12.5.1)."""

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation

from starlette.requests import Request


def accepted(request: Request) -> dict[str, Decimal]:
    """Return the weight of each media range that the request names."""
    return dict(_ranges(",".join(request.headers.getlist("accept"))))


def _ranges(accept: str) -> Iterator[tuple[str, Decimal]]:
    for part in accept.lower().split(","):
        kind, *parameters = (word.strip() for word in part.split(";"))
        weight = next((word[2:] for word in parameters if word.startswith("q=")), "1")
        try:
            yield kind, Decimal(weight)
        except InvalidOperation:
            yield kind, Decimal(0)


def preferred(request: Request, offered: Sequence[str]) -> str:
    """Return the offered type that is accepted most; of equals, and of none, the first."""
    weights = accepted(request)

    def weight(kind: str) -> Decimal:
        ranges = (kind, f"{kind.partition('/')[0]}/*", "*/*")
        return next((weights[one] for one in ranges if one in weights), Decimal(0))

    return max(offered, key=weight)
