"""Uploads without a key, and counts what the client got: statuses, or names of exceptions."""

import http.client
import json
import sys

port, size, count, mode = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
got = {}
for _ in range(count):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    chunks = (b"x" * min(65536, size - start) for start in range(0, size, 65536))
    body = chunks if mode == "chunked" else b"x" * size
    try:
        connection.request("POST", "/upload", body=body)
        response = connection.getresponse()
        response.read()
        result = str(response.status)
    except OSError as error:
        result = type(error).__name__
    except http.client.HTTPException as error:
        result = type(error).__name__
    got[result] = got.get(result, 0) + 1
    connection.close()
print(json.dumps(got))
