"""The only room that touches BPF: compiling, loading, maps, tables, attaching.

compile (the only import of bcc) -> libbpf -> maps -> table -> datapath
"""
