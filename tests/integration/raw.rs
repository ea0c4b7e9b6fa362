//! Requests that clients and proxies can send through hyper. Each ends in the verdict that is
//! listed for it, and the connection stays open if HTTP allows it.

use tower_api_key::RejectionKind;

use crate::outcome::{
    IN_REFERER, IN_URI, INVALID, MISSING, NAMED, PASSES, REPEATED, SEVERAL, TWIN,
};
use crate::support::{ObservedStore, every_kind_of_key, importing_ring, key};
use crate::wire::{Server, get, good};

fn post(lines: &str, body: &str) -> Vec<u8> {
    format!("POST /rejected HTTP/1.1\r\nhost: example.com\r\n{lines}\r\n{body}").into_bytes()
}

#[tokio::test]
async fn r09_what_stands_on_the_wire_is_what_counts() {
    for (ring, key) in every_kind_of_key().await {
        let server = Server::start(ring).await;
        let (start, end) = key.split_at(key.len() / 2);
        let long = "z".repeat(1 << 16);
        let cases = [
            (format!("x-api-key: {key}\r\n"), PASSES),
            (format!("X-API-KEY:{key}\r\n"), PASSES),
            // HTTP does not count the white space around a value as part of it (RFC 9110 §5.5).
            (format!("x-api-key: \t {key} \t \r\n"), PASSES),
            (format!("authorization: bEARER {key}\r\n"), PASSES),
            (String::new(), MISSING),
            ("x-api-key:\r\n".to_owned(), MISSING),
            ("x-api-key: \t \r\n".to_owned(), MISSING),
            ("authorization: Bearer \r\n".to_owned(), MISSING),
            ("authorization: Basic YTpi\r\n".to_owned(), MISSING),
            ("authorization: Bearer\r\n".to_owned(), MISSING),
            ("authorization: Bearer   \r\n".to_owned(), MISSING),
            // `1*SP` (RFC 9110 §11.4), and no tab.
            (format!("authorization: Bearer  {key}\r\n"), PASSES),
            (format!("authorization: Bearer    {key} \r\n"), PASSES),
            (format!("authorization: Bearer \t{key}\r\n"), INVALID),
            (format!("authorization: Bearer,{key}\r\n"), INVALID),
            (format!("cookie: x-api-key={key}\r\n"), MISSING),
            (format!("x-api-key: {start} {end}\r\n"), INVALID),
            (format!("x-api-key: {start}\t{end}\r\n"), INVALID),
            (format!("x-api-key: {start},{end}\r\n"), INVALID),
            (format!("x-api-key: {key},{key}\r\n"), INVALID),
            (format!("x-api-key: {key}, {key}\r\n"), INVALID),
            (format!("x-api-key: {key},\r\n"), INVALID),
            (format!("x-api-key: {start}\u{e9}{end}\r\n"), INVALID),
            (format!("x-api-key: {key}\u{a0}\r\n"), INVALID),
            (format!("x-api-key: {long}\r\n"), INVALID),
            (format!("x-api-key: {key}{long}\r\n"), INVALID),
            (format!("authorization: Bearer {long}\r\n"), INVALID),
            (format!("authorization: Bearer\t{key}\r\n"), INVALID),
            (
                format!("authorization: Bearer {key}, Bearer {key}\r\n"),
                INVALID,
            ),
        ];
        for (lines, expected) in cases {
            server.check(&get("/", lines), expected, &key).await;
        }
        if key.starts_with("acme_") {
            for value in [format!("Basic {key}"), format!("Bearer{key}"), key.clone()] {
                let lines = format!("authorization: {value}\r\n");
                let detail = "API key in Authorization: send it in x-api-key or Authorization: \
                              Bearer";
                let expected = (400, Some(RejectionKind::KeyMisplaced), detail);
                server.check(&get("/", lines), expected, &key).await;
            }
        }
        for byte in 0x80..=0xff {
            let lines = [
                b"x-api-key: ",
                start.as_bytes(),
                &[byte],
                end.as_bytes(),
                b"\r\n",
            ];
            server.check(&get("/", lines.concat()), INVALID, &key).await;
        }
    }
}

#[tokio::test]
async fn r10_two_ways_to_read_a_request_are_one_too_many() {
    for (ring, key) in every_kind_of_key().await {
        let server = Server::start(ring).await;
        let real = format!("x-api-key: {key}\r\n");
        let beside = [
            (real.clone(), REPEATED),
            (format!("X-Api-Key: {key}\r\n"), REPEATED),
            ("x-api-key: other\r\n".to_owned(), REPEATED),
            ("x-api-key:\r\n".to_owned(), REPEATED),
            (format!("authorization: Bearer {key}\r\n"), SEVERAL),
            ("authorization: Bearer other\r\n".to_owned(), SEVERAL),
            (format!("x_api_key: {key}\r\n"), TWIN),
            ("X_API_KEY: other\r\n".to_owned(), TWIN),
            ("x-api_key:\r\n".to_owned(), TWIN),
            ("connection: x-api-key\r\n".to_owned(), NAMED),
            ("Connection: keep-alive , X-API-Key\r\n".to_owned(), NAMED),
            ("connection: authorization\r\n".to_owned(), NAMED),
            (
                "connection: te\r\nconnection: x-api-key\r\n".to_owned(),
                NAMED,
            ),
            ("connection: keep-alive\r\n".to_owned(), PASSES),
            ("authorization: Basic YTpi\r\n".to_owned(), PASSES),
        ];
        for (other, expected) in beside {
            let orders = [format!("{real}{other}"), format!("{other}{real}")];
            for lines in orders {
                server.check(&get("/", lines), expected, &key).await;
            }
        }
        for (alone, expected) in [
            (format!("x_api_key: {key}\r\n"), TWIN),
            ("connection: x-api-key\r\n".to_owned(), NAMED),
            (
                format!("authorization: Bearer {key}\r\n").repeat(2),
                REPEATED,
            ),
        ] {
            server.check(&get("/", alone), expected, &key).await;
        }
    }
}

/// hyper refuses these itself, and ends the connection, since it cannot tell where the next
/// request begins.
#[tokio::test]
async fn r09_what_is_no_http_reaches_no_service() {
    for (ring, key) in every_kind_of_key().await {
        let server = Server::start(ring).await;
        let (start, end) = key.split_at(key.len() / 2);
        let cases: [(Vec<u8>, u16); 9] = [
            (format!("x-api-key: {start}\r\n {end}\r\n").into(), 400),
            (format!("x-api-key:\r\n\t{key}\r\n").into(), 400),
            (format!("x-api-key : {key}\r\n").into(), 400),
            (format!(" x-api-key: {key}\r\n").into(), 400),
            (format!("x-api-key: {start}\0{end}\r\n").into(), 400),
            (format!("x-api-key: {start}\r{end}\r\n").into(), 400),
            (format!("x-api-key: {key}\x7f\r\n").into(), 400),
            (format!("x-api-k\u{e9}y: {key}\r\n").into(), 400),
            (format!("a: b\r\n{}", "x: y\r\n".repeat(200)).into(), 431),
        ];
        for (lines, status) in cases {
            let sent = String::from_utf8_lossy(&lines).into_owned();
            let mut client = server.connect().await;
            client.send(&get("/", lines)).await;
            let answer = client.answer().await;
            assert_eq!(
                (answer.status, answer.body.as_str()),
                (status, ""),
                "{sent}"
            );
            client.assert_closed(&sent).await;
            assert_eq!(server.inner.calls(), 0, "{sent}");
        }
        server.check(&good(&key), PASSES, &key).await;
    }
}

#[tokio::test]
async fn r05_r13_the_form_of_the_target_makes_no_difference() {
    for (ring, key) in every_kind_of_key().await {
        let minted = key.starts_with("acme_");
        let server = Server::start(ring).await;
        let header = format!("x-api-key: {key}\r\n");
        for target in [
            "/",
            "//",
            "/%2e%2e/",
            "/;a",
            "http://example.com/a",
            "http://example.com",
        ] {
            server.check(&get(target, ""), MISSING, &key).await;
            server.check(&get(target, &header), PASSES, &key).await;
        }
        for start in [
            "OPTIONS *",
            "OPTIONS /",
            "TRACE /",
            "PURGE /",
            "CONNECT example.com:443",
        ] {
            let request = format!("{start} HTTP/1.1\r\nhost: example.com\r\n\r\n");
            server.check(request.as_bytes(), MISSING, &key).await;
        }
        // Clients do not send a fragment. If one is sent, it is dropped, not read.
        server.check(&get("/#x-api-key", ""), MISSING, &key).await;
        if !minted {
            continue;
        }
        let encoded = key.replace('_', "%5f");
        for target in [
            format!("/{key}"),
            format!("/?key={key}"),
            format!("/?key={encoded}"),
            format!("http://example.com/?key={key}"),
            format!("http://{key}@example.com/"),
            format!("http://alice:{encoded}@example.com/"),
            format!("http://{key}.example.com/"),
        ] {
            server.check(&get(&target, ""), IN_URI, &key).await;
            server.check(&get(&target, &header), IN_URI, &key).await;
        }
        for target in [format!("{key}:443"), format!("{key}.example.com:443")] {
            let request = format!("CONNECT {target} HTTP/1.1\r\nhost: a\r\n{header}\r\n");
            server.check(request.as_bytes(), IN_URI, &key).await;
        }
        for referer in [&key, &encoded] {
            let lines = format!("{header}referer: http://example.com/?{referer}\r\n");
            server.check(&get("/", lines), IN_REFERER, &key).await;
        }
    }
}

#[tokio::test]
async fn r14_a_rejected_head_has_no_body_that_would_be_taken_for_the_next_answer() {
    for (ring, key) in every_kind_of_key().await {
        let server = Server::start(ring).await;
        let mut client = server.connect().await;
        let head = "HEAD / HTTP/1.1\r\nhost: example.com\r\n\r\n";
        client.send(&[head.as_bytes(), &good(&key)].concat()).await;
        assert!(client.head().await.starts_with("HTTP/1.1 401 "));
        client.answer().await.assert_is(PASSES, head);
        assert_eq!(server.inner.calls(), 1);
    }
}

/// Rings whose store answers at once and later.
async fn at_once_and_later() -> [(Server, String); 2] {
    let at_once = importing_ring(ObservedStore::new());
    let later = importing_ring(ObservedStore::new().answering_later());
    let keys = (key(&at_once, "read").await, key(&later, "read").await);
    [
        (Server::start(at_once).await, keys.0),
        (Server::start(later).await, keys.1),
    ]
}

/// A key of the right shape, so that the store is asked.
const UNKNOWN: &str = "x-api-key: Some.other-token_of.twenty-eight-characters\r\n";

#[tokio::test]
async fn r17_the_unread_body_of_a_rejected_request_is_no_request() {
    for (server, key) in at_once_and_later().await {
        let smuggled =
            String::from_utf8(get("/smuggled", format!("x-api-key: {key}\r\n"))).unwrap();
        for (lines, expected) in [
            ("", MISSING),
            (UNKNOWN, INVALID),
            ("x_api_key: a\r\n", TWIN),
        ] {
            for body in ["", "a", smuggled.as_str(), &smuggled.repeat(20)] {
                let length = format!("{lines}content-length: {}\r\n", body.len());
                server.check(&post(&length, body), expected, &key).await;
                if body.is_empty() {
                    continue;
                }
                let chunked = format!("{lines}transfer-encoding: chunked\r\n");
                let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
                server.check(&post(&chunked, &chunks), expected, &key).await;
            }
            // Both at once, so that the good one waits after the body in hyper's buffer.
            let length = format!("{lines}content-length: {}\r\n", smuggled.len());
            let mut client = server.connect().await;
            let pipelined = [post(&length, &smuggled), good(&key)].concat();
            client.send(&pipelined).await;
            client.answer().await.assert_is(expected, &length);
            client.answer().await.assert_is(PASSES, &length);
            assert_eq!(server.inner.last().uri.path(), "/good");
        }
    }
}

/// The verdict needs only the head. Without the length of a missing body, hyper cannot find the
/// next request, so it does not wait for the body and ends the connection.
#[tokio::test]
async fn r17_a_request_is_rejected_from_its_head() {
    for (server, _) in at_once_and_later().await {
        for (lines, expected) in [
            ("", MISSING),
            (UNKNOWN, INVALID),
            ("x_api_key: a\r\n", TWIN),
        ] {
            for length in [
                "content-length: 1048576\r\n",
                "transfer-encoding: chunked\r\n",
                "content-length: 5\r\nexpect: 100-continue\r\n",
            ] {
                let sent = format!("{lines}{length}");
                let mut client = server.connect().await;
                client.send(&post(&sent, "")).await;
                client.answer().await.assert_is(expected, &sent);
                client.assert_closed(&sent).await;
            }
        }
        assert_eq!(server.inner.calls(), 0);
    }
}
