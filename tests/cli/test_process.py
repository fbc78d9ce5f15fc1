import subprocess
import sys

CODE = """
import gc, logging, os, signal
from downloader.cli.process import set_up
from downloader.stop import DeferredSignals, Stop, exit_code

signal.signal(signal.SIGINT, DeferredSignals())
os.kill(os.getpid(), signal.SIGINT)
stop = Stop()
set_up(stop, "info")
stop.poll()
print(stop.signal, stop.draining.is_set(), stop.aborted.is_set())
os.kill(os.getpid(), signal.SIGTERM)
stop.poll()
print(stop.signal, stop.aborted.is_set())
os.kill(os.getpid(), signal.SIGHUP)
stop = Stop()
set_up(stop, "info")
os.kill(os.getpid(), signal.SIGHUP)
os.kill(os.getpid(), signal.SIGHUP)
stop.poll()
print(stop.draining.is_set(), stop.aborted.is_set(), exit_code(signal.SIGHUP), exit_code(signal.SIGINT))
signal.signal(signal.SIGHUP, signal.SIG_IGN)
set_up(stop, "info")
print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)
print(*(logging.getLogger(name).isEnabledFor(logging.INFO) for name in ("downloader", "httpx", "httpcore")))
print(gc.get_threshold()[0] > 10_000)
"""


def test_a_process_is_set_up_for_one_run() -> None:
    """Signals drain, then abort; an earlier one counts. SIGHUP only drains, and not under nohup.

    HTTP libraries do not log URLs, and collections are rare.
    """
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == [
        *("2 True False", "2 True", "True False 143 130", "True", "True False False", "True")
    ]
