import subprocess
import sys

CODE = """
import gc, logging, os, signal
from downloader.cli.process import set_up
from downloader.stop import DeferredSignals, Stop

signal.signal(signal.SIGINT, DeferredSignals())
os.kill(os.getpid(), signal.SIGINT)
stop = Stop()
set_up(stop, "info")
stop.poll()
print(stop.signal, stop.draining.is_set(), stop.aborted.is_set())
os.kill(os.getpid(), signal.SIGTERM)
stop.poll()
print(stop.signal, stop.aborted.is_set())
print(*(logging.getLogger(name).isEnabledFor(logging.INFO) for name in ("downloader", "httpx", "httpcore")))
print(gc.get_threshold()[0] > 10_000)
"""


def test_a_process_is_set_up_for_one_run() -> None:
    """Signals drain, then abort; an earlier one counts. HTTP libraries do not log URLs, and collections are rare."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["2 True False", "2 True", "True False False", "True"]
