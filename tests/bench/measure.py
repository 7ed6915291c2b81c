"""What a run cost and how runs compare: CPU clocks read from /proc, and the statistics of interleaved pairs."""
import dataclasses
import os
import pathlib
import statistics

TICKS = os.sysconf("SC_CLK_TCK")


def machine_cpu():
    """CPU-seconds that the whole machine has been busy."""
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    return (user + nice + system + irq + softirq) / TICKS


def process_cpu(pids):
    """CPU-seconds that these processes have used, all threads."""
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def anonymous_memory(pid):
    """Bytes of memory of its own that a process has in RAM; mapped files are not counted."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    return 0


def resident_memory(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


@dataclasses.dataclass
class Run:
    """One run of the load generator with what it cost."""
    seen: dict       # what the generator printed
    machine: float   # CPU-seconds of the machine
    proxies: float   # CPU-seconds of the mesh's processes


@dataclasses.dataclass
class Spread:
    median: float
    low: float
    high: float

    @staticmethod
    def of(values):
        return Spread(statistics.median(values), min(values), max(values))

    def text(self, digits=2):
        median = f"{self.median:.{digits}f}"
        return median if self.low == self.high else f"{median} ({self.low:.{digits}f}–{self.high:.{digits}f})"


def pairs(count, bare, mesh):
    """Runs both `count` times, in the order A B B A …, so that a drift of the machine touches both alike. Returns [(bare, mesh)]."""
    result = []
    for index in range(count):
        if index % 2 == 0:
            first = bare()
            result.append((first, mesh()))
        else:
            first = mesh()
            result.append((bare(), first))
    return result
