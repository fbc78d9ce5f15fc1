"""The TLS configuration that all connections of a run share."""

import os
import ssl
from collections.abc import Iterable
from pathlib import Path

import certifi

from downloader.config.settings import DownloadOptions


class _SharedContext(ssl.SSLContext):
    """A context that several threads use at once.

    httpcore sets the protocols at each connect. While other threads open connections with the same context, OpenSSL
    would free the list as it is being copied (SSL_CTX_set_alpn_protos is not thread-safe, and Python calls SSL_new
    without a lock of its own); so it is set once, here, to what httpcore would set.
    """

    def __init__(self, *_: object) -> None:
        super().set_alpn_protocols(["http/1.1"])

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Do nothing: the protocols are set already."""


def ssl_context(settings: DownloadOptions) -> ssl.SSLContext:
    """A context for TLS 1.2 or later that checks certificates.

    Trusted are `--ca-file`, else what the usual variables SSL_CERT_FILE and SSL_CERT_DIR name, else certifi's list.

    Raises:
        ValueError: a file cannot be used; the message names the option.
    """
    context = _SharedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        _trust(context, settings.ca_file)
    if settings.client_cert is not None:
        try:
            context.load_cert_chain(settings.client_cert, password=_no_password)
        except OSError as error:
            reason = _reason(error, "holds no certificate with its key (PEM)")
            raise ValueError(f"--client-cert {settings.client_cert}: {reason}") from error
        except ValueError as error:
            raise ValueError(f"--client-cert {settings.client_cert}: {error}") from error
    return context


def _trust(context: ssl.SSLContext, ca_file: str | None) -> None:
    variable = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)), None)
    if ca_file is not None:
        name, path = "--ca-file", ca_file
    elif variable is not None:
        name, path = variable, os.environ[variable]
    else:
        name, path = "certifi", certifi.where()
    try:
        if Path(path).is_dir():
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except OSError as error:
        raise ValueError(f"{name} {path}: {_reason(error, 'holds no usable certificates (PEM)')}") from error


def _reason(error: OSError, unusable: str) -> str:
    """What is wrong with a certificate file: OpenSSL's own words are for programmers."""
    return unusable if isinstance(error, ssl.SSLError) else str(error.strerror)


def _no_password() -> str:
    """OpenSSL would ask on the terminal, and wait."""
    raise ValueError("its key is protected by a password, which cannot be given here")
