"""A flow datapath in eBPF whose flows are named by UFID: the controller."""

__version__ = "0.1.0"
