import time

import httpcore
import pytest
from wire import MakeRun, Server, answering, over_httptools, second_address

from downloader.clock import active_clock
from downloader.http.errors import DeadlineExceeded


@over_httptools
@pytest.mark.parametrize("swallowing", [False, True], ids=["refusing", "swallowing"])
def test_a_dead_first_address_costs_little(make_run: MakeRun, swallowing: bool) -> None:
    """A second address is tried after 250 ms, or at once after a refusal, not after the timeout."""
    run = make_run({"a.test": ["127.0.0.2", "127.0.0.1"]})
    with Server(answering) as server, second_address(server.port, swallowing=swallowing):
        started = time.monotonic()
        assert run.get(f"http://a.test:{server.port}/")[0] == 200
        assert (0.2 if swallowing else 0) <= time.monotonic() - started < 0.8
        run.transport.close()


@over_httptools
def test_an_address_that_swallows_is_given_up_on(make_run: MakeRun) -> None:
    """Without another address the timeout counts, and the deadline if that is earlier."""
    run = make_run({"a.test": ["127.0.0.2"]})
    with Server(answering) as server, second_address(server.port, swallowing=True):
        started = time.monotonic()
        with pytest.raises(httpcore.ConnectTimeout):
            run.get(f"http://a.test:{server.port}/", timeout_s=0.4)
        run.context.deadline_s = active_clock() + 0.4
        with pytest.raises(DeadlineExceeded):
            run.get(f"http://a.test:{server.port}/", timeout_s=10)
        assert time.monotonic() - started < 1.5


@over_httptools
def test_all_addresses_dead(make_run: MakeRun) -> None:
    """If all refuse, that is the outcome."""
    run = make_run({"a.test": ["127.0.0.2", "127.0.0.3", "127.0.0.1"]})
    with Server(answering) as server:
        port = server.port
    with pytest.raises(httpcore.ConnectError):
        run.get(f"http://a.test:{port}/")
