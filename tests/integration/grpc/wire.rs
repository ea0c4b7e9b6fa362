//! The same refusals at the level of HTTP: headers, and HTTP/2 frames.

use http::{HeaderValue, Method, Request, StatusCode, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::Layer;
use tower_api_key::{ApiKeyLayer, RejectionKind, RequireScopeLayer, Requirement};

use super::greeter::{PATH, Server};
use crate::support::{Inner, as_grpc, key, request, ring, send, with_key};

#[tokio::test]
async fn r18_every_grpc_content_type_is_answered_in_its_family() {
    let families = [
        ("application/grpc", "application/grpc"),
        ("application/grpc+proto", "application/grpc"),
        ("application/grpc+json", "application/grpc"),
        ("application/grpc;charset=utf-8", "application/grpc"),
        ("Application/GRPC+Proto", "application/grpc"),
        ("application/grpc-web", "application/grpc-web"),
        ("application/grpc-web+proto", "application/grpc-web"),
        ("application/grpc-web-text", "application/grpc-web-text"),
        (
            "application/grpc-web-text+proto",
            "application/grpc-web-text",
        ),
    ];
    let service = ApiKeyLayer::new(ring()).layer(Inner::new());
    for (asked, answered) in families {
        let response = send(&service, as_grpc(Request::new(()), asked)).await;
        assert_eq!(response.status, StatusCode::OK, "{asked}");
        assert_eq!(response.values("content-type"), [answered], "{asked}");
        assert_eq!(response.values("grpc-status"), ["16"], "{asked}");
        assert_eq!(response.values("grpc-message"), ["API key missing"]);
        assert_eq!(response.values("cache-control"), ["no-store"], "{asked}");
        assert_eq!(response.values("www-authenticate"), [""; 0], "{asked}");
        assert_eq!(response.body, "", "{asked}");

        let guard = RequireScopeLayer::new("read").layer(Inner::new());
        let alone = send(&guard, as_grpc(Request::new(()), asked)).await;
        assert_eq!(alone.status, StatusCode::OK, "{asked}");
        assert_eq!(alone.values("content-type"), [answered], "{asked}");
        assert_eq!(alone.values("grpc-status"), ["13"], "{asked}");
    }
}

const METHODS: [Method; 9] = [
    Method::POST,
    Method::GET,
    Method::HEAD,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
    Method::TRACE,
    Method::CONNECT,
];

const VERSIONS: [Version; 5] = [
    Version::HTTP_2,
    Version::HTTP_09,
    Version::HTTP_10,
    Version::HTTP_11,
    Version::HTTP_3,
];

#[tokio::test]
async fn r12_a_content_type_alone_turns_no_refusal_into_a_200() {
    let layer = ApiKeyLayer::new(ring()).layer(Inner::new());
    let guard = RequireScopeLayer::new("read").layer(Inner::new());
    let extended = Method::from_bytes(b"QUERY").unwrap();
    for method in METHODS.iter().chain([&extended]) {
        for version in VERSIONS {
            for te in [
                None,
                Some("trailers"),
                Some("gzip"),
                Some("gzip, Trailers"),
                Some("xtrailers"),
            ] {
                for (content_type, web) in [
                    ("application/grpc", false),
                    ("application/grpc+proto", false),
                    ("application/grpc-web", true),
                    ("application/grpc-web-text+proto", true),
                ] {
                    let mut request = as_grpc(Request::new(()), content_type);
                    *request.method_mut() = method.clone();
                    *request.version_mut() = version;
                    match te {
                        Some(te) => request
                            .headers_mut()
                            .insert("te", HeaderValue::from_static(te)),
                        None => request.headers_mut().remove("te"),
                    };
                    let trailers = matches!(te, Some("trailers" | "gzip, Trailers"));
                    let grpc = *method == Method::POST
                        && (web || (version == Version::HTTP_2 && trailers));
                    let what = format!("{method} {version:?} {te:?} {content_type}");
                    for (service, status, code) in [(0, 401, "16"), (1, 500, "13")] {
                        let response = match service {
                            0 => send(&layer, request.clone()).await,
                            _ => send(&guard, request.clone()).await,
                        };
                        let (status, code) = if grpc {
                            (200, vec![code])
                        } else {
                            (status, vec![])
                        };
                        assert_eq!(response.status, status, "{what}");
                        assert_eq!(response.values("grpc-status"), code, "{what}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn r12_two_content_types_are_not_those_of_a_grpc_client() {
    let service = ApiKeyLayer::new(ring()).layer(Inner::new());
    for content_types in [
        ["application/grpc", "text/plain"],
        ["text/plain", "application/grpc"],
        ["application/grpc-web", "application/grpc-web"],
    ] {
        let lines = content_types.map(|content_type| ("content-type", content_type));
        let mut request = request(lines);
        request
            .headers_mut()
            .insert("te", HeaderValue::from_static("trailers"));
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        let response = send(&service, request).await;
        assert_eq!(
            response.status,
            StatusCode::UNAUTHORIZED,
            "{content_types:?}"
        );
    }
}

#[tokio::test]
async fn other_content_types_get_a_problem_document() {
    let service = ApiKeyLayer::new(ring()).layer(Inner::new());
    for asked in [
        "application/json",
        "application/gr",
        "application/x-grpc",
        "text/plain; application/grpc",
        "",
    ] {
        let response = send(&service, as_grpc(Request::new(()), asked)).await;
        assert_eq!(response.status, StatusCode::UNAUTHORIZED, "{asked:?}");
        let content_type = response.values("content-type");
        assert_eq!(content_type, ["application/problem+json"], "{asked:?}");
        assert!(!response.headers.contains_key("grpc-status"), "{asked:?}");
    }
}

#[tokio::test]
async fn r18_the_message_is_percent_encoded_where_grpc_asks_for_it() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let table = [
        ("50%", "50%25"),
        ("%", "%25"),
        ("a%20b", "a%2520b"),
        ("%41", "%2541"),
        (
            "~!#$&'()*+,-./:;<=>?@[]^_`{|}",
            "~!#$&'()*+,-./:;<=>?@[]^_`{|}",
        ),
    ];
    for (scope, encoded) in table {
        let required = Requirement::scope(scope).unwrap();
        let layer = ApiKeyLayer::new(ring.clone()).require(required);
        let request = as_grpc(with_key(&key), "application/grpc");
        let response = send(&layer.layer(Inner::new()), request).await;

        let message = format!("Insufficient scope: expected {encoded}");
        assert_eq!(response.kind(), Some(RejectionKind::InsufficientScope));
        assert_eq!(response.values("grpc-message"), [message.as_str()]);
        assert_eq!(response.values("grpc-status"), ["7"], "{scope}");
        let detail = format!("Insufficient scope: expected {scope}");
        assert_eq!(response.rejection.unwrap().detail(), detail);
    }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// An HTTP/2 frame (RFC 9113 §4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn encode(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    async fn read(stream: &mut TcpStream) -> Self {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let [a, b, c, kind, flags, stream_id @ ..] = head;
        let length = u32::from_be_bytes([0, a, b, c]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).await.unwrap();
        Self {
            kind,
            flags,
            stream: u32::from_be_bytes(stream_id),
            payload,
        }
    }
}

/// A header block of literals without indexing and without Huffman code (RFC 7541 §6.2.2).
fn header_block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// The frames that the server sends on stream 1 in response to a request with these headers.
async fn frames_of_the_answer(server: &Server, headers: &[(&str, &str)]) -> Vec<Frame> {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let frame = |kind, flags, stream, payload| Frame {
        kind,
        flags,
        stream,
        payload,
    };
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, Vec::new()).encode());
    let request_flags = END_HEADERS | END_STREAM;
    bytes.extend(frame(HEADERS, request_flags, 1, header_block(headers)).encode());
    stream.write_all(&bytes).await.unwrap();

    let mut answer: Vec<Frame> = Vec::new();
    let mut pinged = false;
    loop {
        let received = Frame::read(&mut stream).await;
        match (received.kind, received.stream) {
            (_, 1) => answer.push(received),
            (SETTINGS, _) if received.flags & ACK == 0 => {
                let ack = frame(SETTINGS, ACK, 0, Vec::new()).encode();
                stream.write_all(&ack).await.unwrap();
            }
            (PING, _) if received.flags & ACK != 0 => return answer,
            _ => {}
        }
        // The rest of the response comes before the answer to a ping.
        if !pinged && answer.iter().any(|frame| frame.flags & END_STREAM != 0) {
            pinged = true;
            let ping = frame(PING, 0, 0, vec![0; 8]).encode();
            stream.write_all(&ping).await.unwrap();
        }
    }
}

#[tokio::test]
async fn r18_a_refusal_is_one_headers_frame_that_ends_the_stream() {
    let server = Server::start(ApiKeyLayer::new(ring())).await;
    let head = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", PATH),
        (":authority", "acme.test"),
    ];
    let content_type = ("content-type", "application/grpc");
    let grpc = [&head[..], &[content_type, ("te", "trailers")]].concat();
    let answer = frames_of_the_answer(&server, &grpc).await;
    let shape: Vec<_> = answer
        .iter()
        .map(|frame| (frame.kind, frame.flags))
        .collect();
    assert_eq!(shape, [(HEADERS, END_HEADERS | END_STREAM)], "{answer:?}");
    // Index 8 of the static table, `:status: 200`, comes first (RFC 7541 appendix A).
    assert_eq!(answer[0].payload[0], 0x88);

    // The same reader recognizes a response with a body: the response to a request that no gRPC
    // client sends.
    let without_trailers = [&head[..], &[content_type]].concat();
    for other in [&head[..], &without_trailers] {
        let answer = frames_of_the_answer(&server, other).await;
        let shape: Vec<_> = answer
            .iter()
            .map(|frame| (frame.kind, frame.flags))
            .collect();
        assert_eq!(
            shape,
            [(HEADERS, END_HEADERS), (DATA, END_STREAM)],
            "{answer:?}"
        );
    }
    assert_eq!(server.calls(), 0);
    server.stop().await;
}
