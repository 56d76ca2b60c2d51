"""Frames for hypothesis: plausible headers with any values in their fields, cut anywhere, or plain garbage.

Headers are stacked as protocols stack them most of the time and as nobody would the rest of the time.
Small pools for what flows match on make packets meet flows.
"""

from hypothesis import strategies as st

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
TYPES = (0x0800, 0x86DD, 0x0806, 0x8035, 0x8100, 0x88A8, 0x8847, 0x8848, 0x88CC, 0x05FF, 0x0600, 38)
PROTOCOLS = (1, 6, 17, 58, 132, 0, 43, 44, 51, 59, 60, 50)
EXTENSIONS = (0, 43, 44, 51, 60)


def octets(size):
    return st.binary(min_size=size, max_size=size)


def number(values, size):
    return values.map(lambda n: n.to_bytes(size, "big"))


def joined(*parts):
    return st.tuples(*(st.just(p) if isinstance(p, bytes) else p for p in parts)).map(b"".join)


mac = st.sampled_from([bytes.fromhex(f"02000000000{i}") for i in range(4)]) | octets(6)
ipv4_address = st.sampled_from([bytes((198, 18, i, j)) for i in (0, 128) for j in (1, 2)]) | octets(4)
ipv6_address = st.sampled_from([bytes.fromhex("20010db8" + "0" * 23 + str(i)) for i in range(3)]) | octets(16)
port = number(st.sampled_from((0, 53, 80, 443)) | u16, 2)
payload = st.binary(max_size=24)

offset_and_flags = number(st.sampled_from((0x5002, 0x5010, 0x6012, 0xF000, 0x4000)) | u16, 2)
tcp = joined(port, port, octets(8), offset_and_flags, octets(6), payload)
udp = joined(port, port, octets(4), payload)
sctp = joined(port, port, octets(8), payload)
icmp = joined(octets(8), payload)
nd_option = joined(st.sampled_from((b"\1\1", b"\2\1")), mac) | joined(
    number(st.sampled_from((1, 2, 5)), 1), number(st.integers(0, 3), 1), st.sampled_from((6, 14)).flatmap(octets)
)
nd_message = joined(
    st.sampled_from((b"\x87\0", b"\x88\0")), octets(6), ipv6_address, st.lists(nd_option, max_size=10).map(b"".join)
)
TRANSPORT = {1: icmp, 6: tcp, 17: udp, 58: nd_message | icmp, 132: sctp}


def transport(protocol):
    return TRANSPORT.get(protocol, st.binary(max_size=40))


@st.composite
def ipv4(draw):
    protocol = draw(st.sampled_from(PROTOCOLS))
    words = draw(st.sampled_from((5, 5, 5, 6, 15)) | st.integers(0, 15))
    fragment = draw(st.sampled_from((0, 0, 0, 0x4000, 0x2000, 1, 0x2001)) | u16)
    head = bytes((0x40 | words, draw(u8))) + draw(octets(4)) + fragment.to_bytes(2, "big")
    addresses = draw(ipv4_address) + draw(ipv4_address)
    options = draw(octets(max(0, words * 4 - 20)))
    return head + bytes((draw(u8), protocol)) + draw(octets(2)) + addresses + options + draw(transport(protocol))


@st.composite
def ipv6(draw):
    chain = draw(st.lists(st.sampled_from(EXTENSIONS), max_size=8)) if draw(st.booleans()) else []
    following = [*chain, draw(st.sampled_from(PROTOCOLS))]
    word = 0x60000000 | draw(st.integers(0, 0xFFFFFFF))
    packet = word.to_bytes(4, "big") + draw(octets(2)) + bytes((following[0], draw(u8)))
    packet += draw(ipv6_address) + draw(ipv6_address)
    for kind, after in zip(chain, following[1:], strict=True):
        packet += draw(extension(kind, after))
    return packet + draw(transport(following[-1]))


@st.composite
def extension(draw, kind, after):
    """One extension header, mostly as long as it says."""
    if kind == 44:
        offset = draw(st.sampled_from((0, 0, 1, 8, 9)) | u16)
        return bytes((after, 0)) + offset.to_bytes(2, "big") + draw(octets(4))
    size = draw(st.sampled_from((0, 0, 1, 2)) | u8)
    honest = (size + 2) * 4 if kind == 51 else (size + 1) * 8
    return bytes((after, size)) + draw(octets(min(honest, 64) - 2))


arp = joined(
    st.sampled_from((bytes.fromhex("000108000604"),)) | octets(6),
    number(st.sampled_from((1, 2, 255, 256)), 2), mac, ipv4_address, mac, ipv4_address, payload,
)  # fmt: skip
mpls = st.lists(octets(4), max_size=6).map(b"".join)
snap = joined(
    st.sampled_from((b"\xaa\xaa\x03\0\0\0", b"\xaa\xaa\x03\0\0\x0c", b"\xaa\xaa\0\0\0\0")) | octets(6),
    st.deferred(lambda: typed),
)
tag = joined(octets(2), st.deferred(lambda: typed))
BODY = {
    0x0800: ipv4(), 0x86DD: ipv6(), 0x0806: arp, 0x8035: arp, 0x8100: tag, 0x88A8: tag,
    0x8847: mpls, 0x8848: mpls, 38: snap, 0x05FF: snap,
}  # fmt: skip
typed = st.sampled_from(TYPES).flatmap(lambda t: joined(t.to_bytes(2, "big"), BODY.get(t, payload)))


@st.composite
def cut(draw, frames):
    """Mostly the whole frame, at times its beginning."""
    frame = draw(frames)
    return frame[: draw(st.integers(0, len(frame)))] if draw(st.integers(0, 3)) == 0 else frame


whole = joined(mac, mac, typed)
garbage = st.binary(max_size=160)
frames = cut(whole) | cut(whole) | garbage
