"""Calls the greeter with each of these keys, `-` for none, and prints what came of it."""

import sys

import grpc

options = [("grpc.enable_http_proxy", 0)]
with grpc.insecure_channel(sys.argv[1], options=options) as channel:
    say = channel.unary_unary(
        "/acme.Greeter/Say",
        request_serializer=lambda message: message,
        response_deserializer=lambda message: message,
    )
    for key in sys.argv[2:]:
        metadata = [] if key == "-" else [("x-api-key", key)]
        try:
            # The message `Words { text: "hello" }`, whose answer has the same shape.
            answer = say(b"\x0a\x05hello", metadata=metadata, timeout=30)
            print("OK:", answer[2:].decode())
        except grpc.RpcError as error:
            print(f"{error.code().name}: {error.details()}")
