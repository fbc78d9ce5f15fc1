"""What to do about each kind of failure."""

import pytest

from downloader.model.failures import TRANSIENT_KINDS, FailureKind
from downloader.report.remedies import remedy


@pytest.mark.parametrize("kind", FailureKind)
def test_every_kind_has_a_remedy(kind: FailureKind) -> None:
    assert remedy(kind)
    assert ("`retry` takes them" in remedy(kind)) == (kind in TRANSIENT_KINDS)


def test_the_status_decides() -> None:
    assert "--per-host" in remedy("http_status", 429)
    assert "gone for good" in remedy("http_status", 404)


def test_a_kind_of_a_newer_version_has_none() -> None:
    assert remedy("eaten_by_a_grue") == ""
