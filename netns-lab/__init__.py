"""A lab of network namespaces: hosts around a datapath, and traffic between them that is counted.

`topology` says what there is, `build` makes and removes it, `traffic` sends frames and compares what
arrives, `bulk` moves data through the hosts' own stacks, `run` starts programs in a host, `bench` measures.  The
lab touches no namespace but its own, and all but `bench` knows nothing of BPF maps.
"""
