"""Asks a running quickstart for every row of the rejection table that a client can reach.

    python3 tests/python_client.py URL READ_KEY WRITE_KEY

It needs the standard library alone, uses one connection for everything, and prints `ok`.
"""

import http.client
import json
import sys
from urllib.parse import urlsplit

MISSING = 'ApiKey realm="demo"'
INVALID = 'ApiKey realm="demo", error="invalid_token"'
LACKING = 'ApiKey realm="demo", error="insufficient_scope", scope="write"'
TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden"}


def main(url, read, write):
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.connect()
    socket = connection.sock

    def ask(method, path, headers):
        connection.putrequest(method, path)
        for name, value in headers:
            connection.putheader(name, value)
        if method == "POST":
            connection.putheader("content-length", "0")
        connection.endheaders()
        response = connection.getresponse()
        body = json.loads(response.read())
        # A refusal must not cost the connection.
        expect("the same connection", connection.sock is socket, True)
        return response, body

    def accepted(method, path, headers, body):
        row = (method, path, headers)
        response, got = ask(method, path, headers)
        expect((row, "status"), response.status, 200)
        expect((row, "body"), got, body)
        expect((row, "www-authenticate"), response.getheader("www-authenticate"), None)
        if headers:
            expect((row, "vary"), response.getheader("vary"), "x-api-key")
            expect((row, "cache-control"), response.getheader("cache-control"), "private")

    def refused(method, path, headers, status, detail, challenge):
        row = (method, path, headers)
        response, got = ask(method, path, headers)
        problem = {"title": TITLES[status], "status": status, "detail": detail}
        expect((row, "status"), response.status, status)
        expect((row, "body"), got, problem)
        for name, value in [
            ("www-authenticate", challenge),
            ("content-type", "application/problem+json"),
            ("cache-control", "no-store"),
            ("vary", "x-api-key"),
        ]:
            expect((row, name), response.getheader(name), value)

    reader, writer = ("x-api-key", read), ("X-API-Key", write)
    data = {"message": "public data", "subject": "alice", "scopes": ["read"]}
    accepted("GET", "/open", [], {"message": "open to all"})
    accepted("GET", "/public", [reader], data)
    data = {"message": "public data", "subject": "bob", "scopes": ["write"]}
    accepted("GET", "/public", [writer], data)
    done = {"message": "admin action executed", "subject": "bob"}
    accepted("POST", "/admin", [writer], done)

    for method, path in [("GET", "/public"), ("POST", "/admin")]:
        for headers in [[], [("x-api-key", "")], [("authorization", "Bearer nonsense")]]:
            refused(method, path, headers, 401, "API key missing", MISSING)
        detail = "API key in Authorization: send it in x-api-key"
        for value in [f"Bearer {read}", read, f"token {read}"]:
            refused(method, path, [("authorization", value)], 400, detail, None)

        altered = write[:-1] + ("0" if write[-1] != "0" else "1")
        for key in ["nonsense", altered, write.upper(), f'"{write}"', f"{write},{write}"]:
            headers = [("x-api-key", key)]
            refused(method, path, headers, 401, "Invalid API key", INVALID)

        for headers, how in [
            ([writer, writer], "the header is repeated"),
            ([reader, writer], "the header is repeated"),
            ([writer, ("x-api-key", "")], "the header is repeated"),
            (
                [writer, ("x_api_key", write)],
                "a header differs from the expected one only in _ and -",
            ),
            ([writer, ("connection", "x-api-key")], "Connection names the header"),
        ]:
            detail = f"Ambiguous API key: {how}"
            refused(method, path, headers, 400, detail, None)

        advice = "send it in a header, and replace this key"
        escaped = write.replace("_", "%5F")
        for query in [f"?key={write}", f"?key={read}", f"?key={escaped}"]:
            for headers in [[], [writer]]:
                detail = f"API key in URL: {advice}"
                refused(method, path + query, headers, 400, detail, None)
        headers = [writer, ("referer", f"https://elsewhere.example/?key={write}")]
        refused(method, path, headers, 400, f"API key in Referer: {advice}", None)

    # A link with another key turns no valid key off.
    planted = ("referer", f"https://elsewhere.example/?key={read}")
    accepted("POST", "/admin", [writer, planted], done)

    detail = "Insufficient scope: expected write"
    refused("POST", "/admin", [reader], 403, detail, LACKING)
    # After all of that, the keys are what they were.
    accepted("POST", "/admin", [writer], done)
    connection.close()
    print("ok")


def expect(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: got {got!r}, wanted {wanted!r}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
