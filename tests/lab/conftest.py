"""Labs for the tests of this folder: one name per test process, removed whatever happens."""

import os

import pytest

from netns_lab.build import build, destroy
from netns_lab.topology import star


@pytest.fixture
def lab_name():
    """A lab that is down, and is taken down afterwards."""
    name = f"t{os.getpid()}"
    destroy(name)
    yield name
    destroy(name)


@pytest.fixture
def lab(lab_name):
    """Three hosts, built for this test alone."""
    topology = star(3, lab_name)
    build(topology)
    return topology


@pytest.fixture(scope="module")
def shared_lab():
    """Three hosts for the tests of a module that leave the lab as it was."""
    topology = star(3, f"m{os.getpid()}")
    destroy(topology.lab)
    build(topology)
    yield topology
    destroy(topology.lab)
