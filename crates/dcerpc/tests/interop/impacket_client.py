"""Talks to the echo server of the test as impacket does to any server, and checks every answer.

Usage: impacket_client.py PORT. Prints one line for each case; the first wrong answer ends it with exit code 1.
The operation's parameters are marshalled by impacket's own NDR classes, from the definition of the operation.
"""

import signal
import sys

from impacket.dcerpc.v5.dtypes import ULONG
from impacket.dcerpc.v5.ndr import NDRCALL, NDRPOINTER, NDRUniConformantArray
from impacket.dcerpc.v5.rpcrt import (
    DCERPCException,
    MSRPC_BINDNAK,
    MSRPCBindNak,
    MSRPCHeader,
    MSRPCRequestHeader,
)
from impacket.dcerpc.v5.transport import DCERPCTransportFactory
from impacket.uuid import string_to_bin, uuidtup_to_bin

ECHO = ("3a5b7c9d-1e2f-4a6b-8c7d-9e0f1a2b3c4d", "1.0")
OTHER = ("3a5b7c9d-1e2f-4a6b-8c7d-9e0f1a2b3c4e", "1.0")
NEWER = ("3a5b7c9d-1e2f-4a6b-8c7d-9e0f1a2b3c4d", "2.0")
NDR64 = ("71710533-beba-4937-8319-b5dbef9ccc36", "1.0")
OBJECT = "00112233-4455-6677-8899-aabbccddeeff"


class Octets(NDRUniConformantArray):
    item = "c"


class OctetsPointer(NDRPOINTER):
    referent = (("Data", Octets),)


class Echo(NDRCALL):
    opnum = 0
    structure = (("length", ULONG), ("data", Octets))


class EchoResponse(NDRCALL):
    structure = (("length", ULONG), ("data", OctetsPointer), ("ErrorCode", ULONG))


class Missing(NDRCALL):
    opnum = 1
    structure = (("length", ULONG),)


class Short(NDRCALL):
    opnum = 0
    structure = (("length", ULONG),)


def connect():
    association = DCERPCTransportFactory(f"ncacn_ip_tcp:127.0.0.1[{PORT}]").get_dce_rpc()
    association.connect()
    return association


def bound(interface=ECHO, **options):
    association = connect()
    association.bind(uuidtup_to_bin(interface), **options)
    return association


def expect_echo(association, data, uuid=None):
    request = Echo()
    request["length"] = len(data)
    request["data"] = data
    answer = association.request(request, uuid)
    assert answer["length"] == len(data), answer["length"]
    assert b"".join(answer["data"]) == data, "the answer has other bytes than the request"


def expect_refusal(words, attempt):
    try:
        attempt()
    except DCERPCException as refusal:
        assert words in str(refusal), f"refused with {refusal}, not with {words}"
    else:
        raise AssertionError(f"not refused with {words}")


def octets(length):
    return bytes(index % 251 for index in range(length))


def bind_and_request():
    expect_echo(bound(), b"quorum")


def no_bytes():
    request = Echo()
    request["length"] = 0
    request["data"] = b""
    answer = bound().request(request)
    assert answer["length"] == 0
    assert answer.fields["data"].fields["ReferentID"] == 0, "no data is a null pointer"


def many_calls_on_one_association():
    association = bound()
    for length in range(1, 200):
        expect_echo(association, octets(length))


def fragments_larger_than_negotiated_are_avoided_both_ways():
    expect_echo(bound(), octets(60000))


def tiny_fragments():
    association = bound()
    association.set_max_fragment_size(16)
    expect_echo(association, octets(2000))


def object_uuid():
    expect_echo(bound(), b"object", string_to_bin(OBJECT))


def wrong_interface():
    expect_refusal("abstract_syntax_not_supported", lambda: bound(OTHER))
    expect_refusal("abstract_syntax_not_supported", lambda: bound(NEWER))


def wrong_transfer_syntax():
    expect_refusal("proposed_transfer_syntaxes_not_supported", lambda: bound(transfer_syntax=NDR64))


def other_contexts_beside_the_interface():
    expect_echo(bound(bogus_binds=5), b"sixth context")


def wrong_operation_then_a_right_one():
    association = bound()
    expect_refusal("nca_s_op_rng_error", lambda: association.request(Missing()))
    expect_echo(association, b"still here")


def short_stub_then_a_right_one():
    association = bound()
    expect_refusal("rpc_x_bad_stub_data", lambda: association.request(Short()))
    expect_echo(association, b"still here")


def altered_context():
    first = bound()
    second = first.alter_ctx(uuidtup_to_bin(ECHO))
    expect_echo(second, b"second context")
    expect_echo(first, b"first context")
    expect_refusal("abstract_syntax_not_supported", lambda: first.alter_ctx(uuidtup_to_bin(OTHER)))


def request_before_bind():
    transport = connect().get_rpc_transport()
    packet = MSRPCRequestHeader()
    packet["op_num"] = 0
    packet["pduData"] = bytes(8)
    transport.send(packet.get_packet())
    answer = MSRPCHeader(transport.recv())
    assert answer["type"] == MSRPC_BINDNAK, f"PDU type {answer['type']}, not bind_nak"
    assert MSRPCBindNak(answer["pduData"])["RejectedReason"] == 4
    assert transport.recv() == b"", "the connection stays open"


CASES = [
    bind_and_request,
    no_bytes,
    many_calls_on_one_association,
    fragments_larger_than_negotiated_are_avoided_both_ways,
    tiny_fragments,
    object_uuid,
    wrong_interface,
    wrong_transfer_syntax,
    other_contexts_beside_the_interface,
    wrong_operation_then_a_right_one,
    short_stub_then_a_right_one,
    altered_context,
    request_before_bind,
]

if __name__ == "__main__":
    PORT = int(sys.argv[1])
    # A server that never answers must not keep the test for ever.
    signal.alarm(60)
    for case in CASES:
        print(case.__name__, flush=True)
        case()
