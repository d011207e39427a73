"""A real Prometheus scrapes a gateway while it trades, is killed and hangs."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.error
import urllib.request

from tests.support.journal import wait_for
from tests.support.prometheus import Prometheus, program
from tidegate_tools.sim.quickfix_peer import free_port


def page(address: str, path: str) -> tuple[int, str]:
    """Status and text of a page of the gateway's."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def test_prometheus_sees_orders_refusals_a_kill_and_a_hang(start, tmp_path) -> None:
    program("prometheus")
    address = f"127.0.0.1:{free_port()}"
    topology = start(metrics={"listen": address})
    ems = topology.ems["EMS1"]
    wait_for(lambda: page(address, "/ready")[0] == 200, "a gateway that is ready", 30)
    resting = [ems.new_order(symbol="AAPL", quantity=1, price="99") for _ in range(3)]
    filled = ems.new_order(symbol="AAPL", quantity=50, price="100.1")
    refused = ems.new_order(symbol="AAPL", quantity=2000, price="100")
    ems.wait_for(lambda: ems.order(filled).status == "2" and ems.order(refused).status == "8")
    ems.wait_for(lambda: all(ems.order(order).status == "0" for order in resting))
    with Prometheus(tmp_path / "prometheus", address) as prometheus:
        orders = 'tidegate_messages_total{session="EMS1",type="new_order",verdict='
        prometheus.wait(orders + '"passed"}', 4)
        prometheus.wait(orders + '"rejected"}', 1)
        prometheus.wait('tidegate_refused_orders_total{session="EMS1",check="MAX_ORDER_QTY"}', 1)
        prometheus.wait('tidegate_open_orders{scope="venue",name="XNAS"}', 3)
        prometheus.wait('tidegate_position{account="ACC1",symbol="AAPL"}', 50)
        prometheus.wait("tidegate_order_latency_seconds_count", 5)
        prometheus.wait('sum(tidegate_session_up{session=~"EMS1|XNAS"})', 2)
        prometheus.wait("tidegate_ready", 1)
        command = ["-m", "gateway.cli", "kill", "-c", str(topology.config), "--scope", "firm", "--reason", "drill"]
        killed = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=60)
        assert killed.returncode == 0 and "no open orders" in killed.stdout, killed
        prometheus.wait('tidegate_switch_set{scope="firm"}', 1)
        prometheus.wait('tidegate_open_orders{scope="firm"}', 0)
        status, reasons = page(address, "/ready")
        assert status == 503 and "kill" in reasons
        topology.gateway.send_signal(signal.SIGSTOP)
        try:
            prometheus.wait("tidegate_live", 0)
            assert page(address, "/live")[0] == 503
        finally:
            topology.gateway.send_signal(signal.SIGCONT)
        prometheus.wait("tidegate_live", 1)
