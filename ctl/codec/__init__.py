"""The flow interface on the wire: OVS's generic netlink attributes, to and from this project's values.  Pure.

Whoever speaks netlink needs `decode_request`, `encode_reply` and `ctl.requests` between them.  Numbers are in
`ctl.codec.numbers`, the layouts of key attributes in `ctl.codec.layouts`, once for both directions.
"""

from ctl.codec.actions import encode_actions
from ctl.codec.keys import decode_key, decode_mask, encode_key, encode_mask, key_attrs, mask_attrs
from ctl.codec.messages import decode_request, encode_reply, encode_request, reply_size
from ctl.codec.read_actions import decode_actions

__all__ = [
    "decode_actions",
    "decode_key",
    "decode_mask",
    "decode_request",
    "encode_actions",
    "encode_key",
    "encode_mask",
    "encode_reply",
    "encode_request",
    "key_attrs",
    "mask_attrs",
    "reply_size",
]
