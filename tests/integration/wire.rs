//! A server through hyper and a client on a bare socket, which sends requests that no HTTP client would.

use std::convert::Infallible;
use std::net::SocketAddr;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tower::Layer;
use tower_api_key::{ApiKeyLayer, KeyRing, Source};

use crate::outcome::{Outcome, PASSES};
use crate::support::{Inner, X_API_KEY};

/// A server on its own port, with a layer that reads `x-api-key` and bearer tokens, which ends with
/// the test.
pub(crate) struct Server {
    address: SocketAddr,
    pub(crate) inner: Inner,
    accepting: JoinHandle<Infallible>,
}

impl Server {
    pub(crate) async fn start(ring: KeyRing) -> Self {
        let header = Source::header(X_API_KEY).unwrap();
        let layer = ApiKeyLayer::new(ring).sources([header, Source::bearer()]);
        Self::with(layer).await
    }

    /// A server with this layer.
    pub(crate) async fn with(layer: ApiKeyLayer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Inner::new();
        let service = TowerToHyperService::new(layer.layer(inner.clone()));
        let accepting = tokio::spawn(async move {
            // Dropped with this task, which ends the connections too.
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = service.clone();
                connections.spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    let connection = server.serve_connection(TokioIo::new(stream), service);
                    // Some of the requests are errors of HTTP, and meant to be.
                    connection.await.ok();
                });
            }
        });
        Self {
            address,
            inner,
            accepting,
        }
    }

    pub(crate) async fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream,
            unread: Vec::new(),
        }
    }

    /// Sends this request, asserts its outcome, and that the connection then serves a request with
    /// this key as usual.
    pub(crate) async fn check(&self, request: &[u8], expected: Outcome, key: &str) {
        let sent = String::from_utf8_lossy(&request[..request.len().min(300)]);
        let calls = self.inner.calls();
        let mut client = self.connect().await;
        client.send(request).await;
        let answer = client.answer().await;
        answer.assert_is(expected, &sent);
        let passed = usize::from(expected == PASSES);
        assert_eq!(self.inner.calls(), calls + passed, "{sent}");

        client.send(&good(key)).await;
        client.answer().await.assert_is(PASSES, &sent);
        assert_eq!(self.inner.last().uri.path(), "/good", "{sent}");
        assert_eq!(self.inner.calls(), calls + passed + 1, "{sent}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A client that knows just enough HTTP/1.1 to separate one response from the next.
pub(crate) struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Client {
    /// The bare socket.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn head(&mut self) -> String {
        let end = loop {
            let end = self.unread.windows(4).position(|four| four == b"\r\n\r\n");
            match end {
                Some(end) => break end + 4,
                None => assert_ne!(self.read().await, 0, "closed before the answer's head"),
            }
        };
        String::from_utf8(self.unread.drain(..end).collect()).unwrap()
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        let head = self.head().await;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        while self.unread.len() < length {
            assert_ne!(self.read().await, 0, "closed before the answer's end");
        }
        let body = self.unread.drain(..length).collect();
        let body = String::from_utf8(body).unwrap();
        Answer { status, head, body }
    }

    /// Asserts that the server sends no more data and closes.
    pub(crate) async fn assert_closed(mut self, sent: &str) {
        while self.read().await > 0 {}
        assert_eq!(String::from_utf8_lossy(&self.unread), "", "{sent}");
    }

    async fn read(&mut self) -> usize {
        self.stream.read_buf(&mut self.unread).await.unwrap()
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn assert_is(&self, (status, kind, detail): Outcome, sent: &str) {
        assert_eq!(self.status, status, "{sent}\n{}{}", self.head, self.body);
        if kind.is_none() {
            assert_eq!(self.body, "inner", "{sent}");
            return;
        }
        let problem: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["detail"], detail, "{sent}");
        assert_eq!(problem["status"], status, "{sent}");
        assert!(self.head.contains("\r\ncache-control: no-store\r\n"));
    }
}

pub(crate) fn good(key: &str) -> Vec<u8> {
    get("/good", format!("x-api-key: {key}\r\n"))
}

/// A request for this target with these header lines.
pub(crate) fn get(target: &str, lines: impl AsRef<[u8]>) -> Vec<u8> {
    let start = format!("GET {target} HTTP/1.1\r\nhost: example.com\r\n");
    [start.as_bytes(), lines.as_ref(), b"\r\n"].concat()
}
