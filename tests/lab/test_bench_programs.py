"""The programs that benchmarks measure with do what their rows say: every packet counts where it should."""

import pytest

from ctl.action import PushVlan
from ctl.flow import Output
from ctl.kernel.maps import Sizes
from netns_lab.bench.frames import BASE, MISS, L, M, S, install, ufid
from netns_lab.bench.place import XDP_DROP, XDP_REDIRECT, place
from netns_lab.bench.programs import Plan, loaded

FLOWS, RUNS = 64, 10_007
OUT = (Output(2),)


@pytest.fixture(scope="module")
def here():
    with place(Sizes(max_flows=256, max_masks=256)) as made:
        yield made


@pytest.fixture
def run(here):
    """Run frames of a plan through the datapath; the verdict of the last."""
    here.datapath.flow_flush()
    with loaded("bench_next") as follow:

        def run_plan(template, vary, fixed):
            follow.plan(Plan(frame=template.frame, at=template.at, vary=vary, fixed=fixed))
            follow.call(here.program)
            return here.run(follow.fd, template.frame, RUNS)[1]

        yield run_plan


def packets(datapath):
    return {flow.ufid: flow.stats.packets for flow in datapath.flow_dump()}


@pytest.mark.parametrize("template", [S, M, L], ids="SML")
def test_uniform_traffic_hits_every_flow_about_as_often(here, run, template):
    install(here.datapath, template, range(FLOWS), 1, OUT)
    before = here.datapath.stats()
    assert run(template, FLOWS - 1, BASE) == XDP_REDIRECT
    counts = packets(here.datapath)
    assert here.datapath.stats().missed == before.missed
    assert sum(counts.values()) == RUNS
    assert min(counts.values()) > RUNS / FLOWS / 2


@pytest.mark.parametrize(("masks", "number", "hit"), [(32, 7, {7, 39}), (256, 127, {127}), (256, 255, {255})])
def test_fixed_bits_choose_the_mask_that_is_hit(here, run, masks, number, hit):
    flows = max(FLOWS, masks)
    install(here.datapath, S, range(flows), masks, OUT)
    before = here.datapath.stats()
    assert run(S, flows - 1 & ~(masks - 1), BASE | number) == XDP_REDIRECT
    counts = packets(here.datapath)
    assert {name for name, count in counts.items() if count} == set(map(ufid, hit))
    assert here.datapath.stats().mask_hit - before.mask_hit == (number + 1) * RUNS


@pytest.mark.parametrize("masks", [32, 256])
def test_a_miss_tries_every_mask(here, run, masks):
    install(here.datapath, S, range(256), masks, OUT)
    before = here.datapath.stats()
    assert run(S, FLOWS - 1, MISS) == XDP_DROP
    assert here.datapath.stats().missed - before.missed == RUNS
    assert here.datapath.stats().mask_hit - before.mask_hit == masks * RUNS


def test_the_frame_is_put_back_after_actions(here, run):
    """Else tags would pile up until there is no room for another."""
    here.datapath.flow_new(S.match(0), (PushVlan(0x8100, 0x1005), Output(2)), ufid(0))
    before = here.datapath.port_stats()[2]
    assert run(S, 0, BASE) == XDP_REDIRECT
    after = here.datapath.port_stats()[2]
    assert after.tx_packets - before.tx_packets == RUNS
    assert after.tx_bytes - before.tx_bytes == RUNS * (len(S.frame) + 4)
