"""Imported once by the server that forks runs (tests.support.service): the gateway's modules, with kernels loaded."""

import tests.support.service  # noqa: F401
from gateway.warmup import warm_up

warm_up("small")
