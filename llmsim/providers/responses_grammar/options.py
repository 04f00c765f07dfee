"""What the renderers know of a request, and what a stored response keeps of it."""

import msgspec


class ResponseOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What only the renderers of the Responses API understand.

    Attributes:
        echo: JSON members of the response object that repeat the request, without braces.
        items: The input as JSON, one an item, earlier turns first; those of this request as they were sent.
        instructed: Whether the prompt's first message is the `instructions`.
        previous: Id of the response that this one continues; None if it continues none.
        summary: How much is told of the reasoning; None for nothing.
        sealed: Whether reasoning items carry encrypted content.
        store: Whether the response is kept.
        background: Whether it comes about without its client.
        generate: Whether anything is to be said; otherwise the response is empty, to be continued later.
        obfuscation: Whether delta events carry padding.
        service_tier: As requested; it is reported as long as the response is not done.
        metadata: The client's own notes.
    """

    echo: bytes
    items: tuple[bytes, ...] = ()
    instructed: bool = False
    previous: str | None = None
    summary: str | None = None
    sealed: bool = False
    store: bool = True
    background: bool = False
    generate: bool = True
    obfuscation: bool = True
    service_tier: str = "auto"
    metadata: dict[str, str] = {}
