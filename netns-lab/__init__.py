"""Topologies of network namespaces, and real traffic through them."""
