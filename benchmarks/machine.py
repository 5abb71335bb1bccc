"""The machine of a benchmark, and the memory of its process."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def machine(use: str = "one used") -> str:
    """The processor's name, its cores, and how many of them the benchmark used."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    names = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, {use}"


def resident_mib() -> float:
    """Current memory of this process."""
    return _status("VmRSS")


def peak_mib() -> float:
    """Peak memory of this process (Linux only); unlike getrusage's, not inherited from the parent process."""
    return _status("VmHWM")


def forget_peak() -> None:
    """Reset the peak to the current memory."""
    Path("/proc/self/clear_refs").write_text("5")


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024
