//! A client that takes as little time as it can.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use super::server::Server;

/// The body of the inner service.
const BODY: &[u8] = b"ok";

/// A runtime of one thread.
pub(super) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_io().build().unwrap()
}

/// Connections that are kept alive.
pub(super) struct Client(Vec<Connection>);

struct Connection {
    stream: TcpStream,
    requests: Vec<Vec<u8>>,
    next: usize,
    /// All responses of a server have one length.
    response: Vec<u8>,
}

impl Client {
    /// Deals the requests of a server out to so many connections.
    pub(super) async fn connect(server: &Server, connections: usize) -> Self {
        let mut connected = Vec::new();
        for index in 0..connections {
            let own = server.requests.iter().skip(index).step_by(connections);
            let requests: Vec<_> = own.cloned().collect();
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            stream.write_all(&requests[0]).await.unwrap();
            let mut response = Vec::new();
            while !response.ends_with(BODY) {
                assert_ne!(stream.read_buf(&mut response).await.unwrap(), 0);
            }
            connected.push(Connection {
                stream,
                requests,
                next: 0,
                response,
            });
        }
        Self(connected)
    }

    /// Serves this many requests on each connection, and returns how many that are.
    pub(super) async fn turn(&mut self, requests: usize) -> f64 {
        let mut tasks = JoinSet::new();
        for connection in self.0.drain(..) {
            tasks.spawn(connection.turn(requests));
        }
        self.0 = tasks.join_all().await;
        let served = u32::try_from(self.0.len() * requests).unwrap();
        f64::from(served)
    }
}

impl Connection {
    async fn turn(mut self, requests: usize) -> Self {
        for _ in 0..requests {
            self.next = (self.next + 1) % self.requests.len();
            let request = &self.requests[self.next];
            self.stream.write_all(request).await.unwrap();
            self.stream.read_exact(&mut self.response).await.unwrap();
            assert!(self.response.starts_with(b"HTTP/1.1 200 "));
            assert!(self.response.ends_with(BODY));
        }
        self
    }
}

/// The status of the response to a request.
pub(super) async fn status(address: SocketAddr, request: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut start = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut start).await.unwrap();
    let status = str::from_utf8(&start[start.len() - 3..]).unwrap();
    status.parse().unwrap()
}
