"""Datapaths as fixtures.  Each test begins with an empty flow table; counters go on from test to test."""

import pytest

from tests.bpf import audit, harness


@pytest.fixture(scope="module")
def shared_bench():
    with harness.bench() as made:
        yield made


@pytest.fixture
def bench(shared_bench):
    """The module's datapath, emptied before the test and checked after it."""
    shared_bench.datapath.flow_flush()
    yield shared_bench
    audit.audit(shared_bench.datapath)


@pytest.fixture
def datapath(bench):
    return bench.datapath


@pytest.fixture
def counted(bench):
    """A function that gives what the datapath's counters have gained since the test began."""
    before, ports = bench.datapath.stats(), bench.datapath.port_stats()

    def gained():
        after = bench.datapath.stats()
        gain = {n: getattr(after, n) - getattr(before, n) for n in ("hit", "missed", "lost", "mask_hit", "stale")}
        drops = {name: count - before.drops[name] for name, count in after.drops.items()}
        gain |= {f"drop_{name}": count for name, count in drops.items()}
        for number, stats in bench.datapath.port_stats().items():
            for name in ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes", "rx_dropped"):
                gain[f"{name}_{number}"] = getattr(stats, name) - getattr(ports[number], name)
        return {name: count for name, count in gain.items() if count}

    return gained
