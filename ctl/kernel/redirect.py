"""Whether a device takes the frames that XDP redirects to it; those for one that does not are lost without a trace."""

from __future__ import annotations

from typing import Final

from ctl import ethtool, netlink
from ctl.kernel import features
from ctl.netlink import XdpFeature
from ctl.netns import NetNs

# The drivers of Linux 6.1 that have ndo_xdp_xmit, as ethtool -i names them.
DRIVERS: Final = frozenset(
    {
        "bnxt_en", "ena", "fsl_dpa", "fsl_dpaa2_eth", "fsl_enetc", "fsl_enetc_vf", "hv_netvsc", "i40e", "ice", "igb",
        "igc", "ixgbe", "mlx5_core", "mtk_soc_eth", "mvneta", "mvpp2", "netsec", "octeontx2-nic", "qede", "sfc",
        "st_gmac", "thunder-nicvf", "ti-cpsw", "cpsw", "tun", "veth", "vif", "virtio_net",
    }
)  # fmt: skip


def is_taken(namespace: NetNs, device: str, ifindex: int) -> bool:
    """Whether it takes them now.  A veth that is down does not say: it will when it is up and its peer has GRO on."""
    driver = ethtool.driver(namespace, device)
    can = netlink.xdp_features(namespace, ifindex) if features.has("xdp_features") else None
    if can is None or (driver == "veth" and not ethtool.is_up(namespace, device)):
        return driver in DRIVERS
    return XdpFeature.NDO_XMIT in can
