"""What went wrong with TLS, in words that say what to do. Pure."""

import ssl

from downloader.http.errors import FetchError
from downloader.model.failures import FailureKind

_NO_CHECK = "--insecure connects all the same"
_CERTIFICATES = {
    9: f"the server's certificate is not valid yet; is the clock of this machine right? {_NO_CHECK}",
    10: f"the server's certificate has expired; {_NO_CHECK}",
    18: f"the server's certificate is self-signed; --ca-file trusts it, {_NO_CHECK}",
    19: f"the server's certificate has an unknown issuer (self-signed); --ca-file trusts it, {_NO_CHECK}",
    20: f"the server's certificate has an unknown issuer; --ca-file trusts it, {_NO_CHECK}",
    21: f"the server's certificate has an unknown issuer; --ca-file trusts it, {_NO_CHECK}",
    23: f"the server's certificate has been revoked; {_NO_CHECK}",
    62: f"the server's certificate is for another host; {_NO_CHECK}",
    64: f"the server's certificate is for another host, not for this address; {_NO_CHECK}",
}
"""By the codes of X509_verify_cert_error_string(3)."""

_WRONG_VERSION = "the server speaks no TLS version from 1.2 on"
_NO_TLS = "the server does not speak TLS at this port; is it an http:// URL?"
_NO_CIPHER = "the server and this program have no cipher in common"
_WANTS_CERTIFICATE = "the server wants a certificate of the client, or another one; see --client-cert"
_UNKNOWN_NAME = "the server has no certificate for this host name"
_REASONS = {
    "NO_PROTOCOLS_AVAILABLE": _WRONG_VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": _WRONG_VERSION,
    "UNSUPPORTED_PROTOCOL": _WRONG_VERSION,
    "WRONG_SSL_VERSION": _WRONG_VERSION,
    "HTTP_REQUEST": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "UNKNOWN_PROTOCOL": _NO_TLS,
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "NO_SHARED_CIPHER": _NO_CIPHER,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _NO_CIPHER,
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": _NO_CIPHER,
    "SSLV3_ALERT_BAD_CERTIFICATE": _WANTS_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _WANTS_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _WANTS_CERTIFICATE,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _WANTS_CERTIFICATE,
    "TLSV1_ALERT_UNKNOWN_CA": _WANTS_CERTIFICATE,
    "TLSV1_UNRECOGNIZED_NAME": _UNKNOWN_NAME,
}
"""By the names of OpenSSL's reasons (err.h, sslerr.h)."""
_HANG_UPS = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


def tls_error(error: ssl.SSLError) -> FetchError:
    """The failure for an error of OpenSSL; a server that hangs up may be overloaded, so that is transient."""
    if isinstance(error, ssl.SSLCertVerificationError):
        known = _CERTIFICATES.get(error.verify_code)
        return FetchError(FailureKind.TLS, known or f"the server's certificate is not trusted: {error.verify_message}")
    if isinstance(error, _HANG_UPS):
        return FetchError(FailureKind.CONNECT, "the server hung up during the TLS handshake")
    reason = error.reason or "no reason given"
    words = reason.replace("_", " ").lower()
    return FetchError(FailureKind.TLS, _REASONS.get(reason, f"no secure connection could be agreed on: {words}"))
