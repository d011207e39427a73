"""Imported once by the server that forks processes (tests.support.forked): what they use, with kernels loaded."""

import gateway.cli.main  # noqa: F401
import tests.support.engines
import tests.support.service  # noqa: F401
from gateway.warmup import warm_up

warm_up("small")
