"""Finding out that a pool is to be replaced although none of its processes has died."""

from downloader.clock import ActiveClock
from downloader.telemetry.sampler import cpu_time_s
from downloader.transform.pool import WorkerPool
from downloader.transform.recovery import GRACE_S, Assignment, LifeSigns, patience_s


class Watchdog:
    """Watches one pool after another; time counts while somebody calls `is_to_end`.

    A pool has to end if one of its workers is past `limit_s` and some grace, since a decoder inside C code never sees
    the soft alarm; or if nothing at all happens in it. `overdue` holds the pids of the former, `stopped` those among
    them that used no CPU in the end: something has stopped the process, which says nothing about its item.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.overdue: set[int] = set()
        self.stopped: set[int] = set()
        self._clock = ActiveClock()
        self._cpu_s: dict[Assignment, float | None] = {}
        """CPU time of each worker when it was found to be past `limit_s`."""

    def is_to_end(self, pool: WorkerPool | None, *, expects_change: bool) -> bool:
        """Whether to end the pool; no change is expected of one without work, or that has just returned a result."""
        self._clock.beat()
        now_s = self._clock()
        if pool is None:
            return False
        pool.signs.observe(pool.assignments(), now_s, expects_change=expects_change)
        return self._find_overdue(pool.signs, now_s) or pool.signs.silent_s(now_s) > patience_s(self.limit_s)

    def _find_overdue(self, signs: LifeSigns, now_s: float) -> bool:
        late = signs.longer_than(self.limit_s, now_s)
        self._cpu_s = {each: self._cpu_s.get(each, cpu_time_s(each.pid)) for each in late}
        overdue = signs.longer_than(self.limit_s + GRACE_S, now_s)
        for each in overdue:
            (self.stopped if cpu_time_s(each.pid) == self._cpu_s[each] else self.overdue).add(each.pid)
        return bool(overdue)
