"""A network on which every packet takes its time, the first one of a connection too; a proxy cannot delay that.

It is a device of the machine's own. What is sent through it comes back, with its two addresses exchanged: whoever
connects to THERE reaches what listens on HERE, and both see a peer at THERE. Checksums hold, as they are sums.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import threading
import time
from collections import deque
from typing import Self

import pytest

HERE, THERE = "198.18.0.1", "198.18.0.2"  # of a network that is set aside for tests, RFC 2544
ONE_WAY_S = 0.02

_DEVICE = "delayed"
_SET_UP = ("ip link set lo up", f"ip address add {HERE}/24 dev {_DEVICE}", f"ip link set {_DEVICE} up")
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h
_IPV4_WITHOUT_OPTIONS = 0x45
_TURN_S = 0.1
_UNSHARE = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]


def own_network() -> list[str]:
    """What to put before a command that shall have a network to itself. That goes when the command ends, and all that
    it has started ends with it.
    """
    for command in (_UNSHARE, [*_UNSHARE, "--map-root-user"]):
        try:
            probe = [*command, "ip", "tuntap", "add", "dev", _DEVICE, "mode", "tun"]
            if subprocess.run(probe, capture_output=True, timeout=30).returncode == 0:
                return command
        except FileNotFoundError:
            break
    pytest.skip("a network namespace with a TUN device cannot be had here")


class DelayedNetwork:
    """That between HERE and THERE, which are set up; it takes `own_network`."""

    def __init__(self) -> None:
        """Not running yet: use as a context manager."""
        self.lost_ports: set[int] = set()
        """What is sent to these TCP ports, or from them, is lost."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="delayed network", daemon=True)

    def __enter__(self) -> Self:
        self._device = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(self._device, _TUNSETIFF, struct.pack("16sH22x", _DEVICE.encode(), _IFF_TUN | _IFF_NO_PI))
        for command in _SET_UP:
            subprocess.run(command.split(), check=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._thread.join(10)
        os.close(self._device)

    def _run(self) -> None:
        under_way: deque[tuple[float, bytes]] = deque()
        while not self._stopping:
            due_in_s = under_way[0][0] - time.monotonic() if under_way else _TURN_S
            if select.select([self._device], [], [], max(due_in_s, 0))[0]:
                packet = os.read(self._device, 65536)
                if not self._is_lost(packet):
                    packet = packet[:12] + packet[16:20] + packet[12:16] + packet[20:]  # target and source
                    under_way.append((time.monotonic() + ONE_WAY_S, packet))
            while under_way and under_way[0][0] <= time.monotonic():
                os.write(self._device, under_way.popleft()[1])

    def _is_lost(self, packet: bytes) -> bool:
        if packet[0] != _IPV4_WITHOUT_OPTIONS:
            return True
        return not self.lost_ports.isdisjoint(struct.unpack_from("!HH", packet, 20))
