"""The attributes of a flow key or mask, as the OVS interface has them: what text and netlink are read into.

Attributes are beneath `ctl.flow.Match`: they know which of them a client gave, and can hold all that OVS
has, also what this datapath cannot match.  `ctl.validate` makes a match of them, `ctl.outline` the other
way about.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ctl.headers import Nsh, Tunnel

Values = tuple[int, ...]


@dataclass(slots=True)
class KeyAttrs:
    """The attributes that a key (or mask) has: section name -> one number for each row of the section.

    The sections are those of `fields.ALL_SECTIONS`.  Of `mpls` labels that are not there have zeros.
    ``encap`` holds what stands behind a VLAN tag.  None: there is no such attribute.
    """

    sections: dict[str, Values] = field(default_factory=dict)
    encap: KeyAttrs | None = None
    tunnel: Tunnel | None = None
    nsh: Nsh | None = None

    def levels(self) -> Iterator[KeyAttrs]:
        """The attributes before the outer tag, behind it, and so on."""
        level: KeyAttrs | None = self
        while level is not None:
            yield level
            level = level.encap

    @property
    def is_empty(self) -> bool:
        """Whether there is no attribute at all."""
        return not self.sections and self.encap is None and self.tunnel is None and self.nsh is None
