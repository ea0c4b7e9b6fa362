//! Rule 17: the refusal of an upload arrives, although its body is not read.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::{Layer, ServiceBuilder};
use tower_api_key::{ApiKeyLayer, DrainLayer};

use super::proxy::{Backend, Nginx};
use crate::process::run;
use crate::support::{Inner, ring};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/integration/nginx/uploads.py");

const SIZES: [usize; 3] = [70_000, 400_000, 1_000_000];

/// The responses to this many uploads of this size, from Python's `http.client`.
async fn upload(
    address: SocketAddr,
    size: usize,
    count: usize,
    mode: &'static str,
) -> BTreeMap<String, usize> {
    let arguments = [
        address.port().to_string(),
        size.to_string(),
        count.to_string(),
    ];
    let python = move || {
        let [port, size, count] = &arguments;
        run("python3", [SCRIPT, port, size, count, mode])
    };
    let output = tokio::task::spawn_blocking(python).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn drained() -> Backend {
    let layers = ServiceBuilder::new()
        .layer(DrainLayer::new().max_wait(Duration::from_secs(30)))
        .layer(ApiKeyLayer::new(ring()));
    Backend::start(layers.service(Inner::new())).await
}

async fn undrained() -> Backend {
    Backend::start(ApiKeyLayer::new(ring()).layer(Inner::new())).await
}

async fn in_front_of(backend: &Backend, test: &str, options: &str) -> Option<Nginx> {
    let server = format!(
        "location / {{ proxy_pass http://{}; {options} }}",
        backend.address
    );
    Nginx::start(test, "", &server).await
}

#[tokio::test]
#[ignore = "prints what uploads get without a drain and with one, and asserts nothing"]
async fn what_uploads_get() {
    for (name, backend) in [("without", undrained().await), ("with", drained().await)] {
        for size in [70_000, 400_000, 1_000_000, 3_000_000] {
            for mode in ["length", "chunked"] {
                let got = upload(backend.address, size, 30, mode).await;
                eprintln!("{name} drain, {mode}, {size} bytes: {got:?}");
            }
            for buffering in ["on", "off"] {
                let options =
                    format!("client_max_body_size 10m; proxy_request_buffering {buffering};");
                let Some(nginx) = in_front_of(&backend, "what_uploads_get", &options).await else {
                    return;
                };
                let got = upload(nginx.address, size, 30, "length").await;
                eprintln!("{name} drain, nginx, buffering {buffering}, {size} bytes: {got:?}");
            }
        }
    }
}

#[tokio::test]
async fn r17_the_refusal_of_an_upload_reaches_python() {
    let backend = drained().await;
    for mode in ["length", "chunked"] {
        for size in SIZES {
            let got = upload(backend.address, size, 10, mode).await;
            let refused = BTreeMap::from([("401".to_owned(), 10)]);
            assert_eq!(got, refused, "{mode} {size}");
        }
    }
}

#[tokio::test]
async fn r17_the_refusal_of_an_upload_passes_nginx() {
    const TEST: &str = "r17_the_refusal_of_an_upload_passes_nginx";
    let backend = drained().await;
    for options in [
        "",
        "proxy_request_buffering off;",
        "proxy_http_version 1.1; proxy_request_buffering off;",
    ] {
        let Some(nginx) = in_front_of(&backend, TEST, options).await else {
            return;
        };
        for mode in ["length", "chunked"] {
            for size in SIZES {
                let got = upload(nginx.address, size, 10, mode).await;
                let refused = BTreeMap::from([("401".to_owned(), 10)]);
                assert_eq!(got, refused, "{options} {mode} {size}");
            }
        }
    }
}

#[tokio::test]
async fn r17_the_refusal_of_an_upload_over_http_2_reaches_curl() {
    let backend = drained().await;
    let url = format!("http://{}/upload", backend.address);
    for size in SIZES {
        let url = url.clone();
        let curl = move || {
            let send = format!(
                "head -c {size} /dev/zero | curl -s -o /dev/null -w '%{{http_code}} %{{http_version}}' \
                 --max-time 30 --http2-prior-knowledge -H 'expect:' --data-binary @- {url}"
            );
            run("sh", ["-c", &send])
        };
        let output = tokio::task::spawn_blocking(curl).await.unwrap();
        assert!(output.status.success(), "{size} {output:?}");
        assert_eq!(output.stdout, b"401 2", "{size} {output:?}");
    }
}

#[tokio::test]
async fn r17_a_client_that_waits_for_leave_is_not_asked_for_the_body() {
    let backend = drained().await;
    let mut stream = TcpStream::connect(backend.address).await.unwrap();
    let head = "POST /upload HTTP/1.1\r\nhost: acme.test\r\nexpect: 100-continue\r\n\
                content-length: 400000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // The server closes, because the announced body does not come.
    let read = stream.read_to_string(&mut answer);
    let in_time = tokio::time::timeout(Duration::from_secs(20), read).await;
    in_time.unwrap().unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"),
        "{answer}"
    );
    assert!(!answer.contains("100 Continue"), "{answer}");
}

#[tokio::test]
async fn r17_the_connection_goes_on_after_a_drained_body() {
    let backend = drained().await;
    let mut stream = TcpStream::connect(backend.address).await.unwrap();
    let mut request =
        b"POST / HTTP/1.1\r\nhost: acme.test\r\ncontent-length: 400000\r\n\r\n".to_vec();
    request.resize(request.len() + 400_000, b'x');
    for _ in 0..2 {
        stream.write_all(&request).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
        }
        assert!(answer.starts_with(b"HTTP/1.1 401 Unauthorized\r\n"));
    }
}
