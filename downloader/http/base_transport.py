"""What both transports share: their exchange with the client, and with httpx."""

from abc import abstractmethod
from typing import Final, NamedTuple

import httpx

TARGET: Final = "downloader.target"
"""The extension of a request that holds its path and query, if these are not those of its URL."""


def target_of(request: httpx.Request) -> bytes:
    """The path and query of a request."""
    target: bytes | None = request.extensions.get(TARGET)
    return request.url.raw_path if target is None else target


class Answer(NamedTuple):
    """A response whose head was received; an `httpx.Response` costs a tenth of a small download."""

    status: int
    headers: list[tuple[bytes, bytes]]
    """As received, in any case."""
    body: httpx.SyncByteStream
    """As received; closing it ends the exchange."""


class Transport(httpx.BaseTransport):
    """Sends the requests of one thread."""

    @abstractmethod
    def send(self, request: httpx.Request) -> Answer:
        """Send a request and receive the head of its response."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The same with the response as httpx has it, for everything that expects a transport of httpx."""
        answer = self.send(request)
        return httpx.Response(answer.status, headers=answer.headers, stream=answer.body)
