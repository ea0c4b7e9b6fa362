//! A server of hyper, in a process of its own.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, VARY};
use http::{HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tower_api_key::ApiKeyLayer;
use tower_api_key_overhead::{
    Draws, Inner, LEAST_HEADERS, Presented, SCOPES, Setup, X_API_KEY, request,
};
use tower_layer::Layer;
use tower_service::Service;

use super::{BARE, BY_HAND, FLOOR, HEADED, SERVE, client};

/// A server as its parent sees it. It ends when this is dropped.
pub(super) struct Server {
    process: Child,
    /// The first connection. The server ends when it is closed.
    control: Option<TcpStream>,
    pub(super) address: SocketAddr,
    /// Requests with the keys that it knows.
    pub(super) requests: Vec<Vec<u8>>,
    /// A request with a key that it does not know.
    pub(super) unknown: Vec<u8>,
}

impl Server {
    /// Starts this program as a server, if need be within another program.
    pub(super) fn start(name: &str, keys: usize, within: Option<Command>) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut command = match within {
            Some(mut outer) => {
                outer.arg(program);
                outer
            }
            None => Command::new(program),
        };
        command.args([SERVE, &format!("{name} {keys}")]);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut line = || lines.next().unwrap().unwrap();
        let address = line().parse().unwrap();
        Self {
            process,
            control: Some(TcpStream::connect(address).unwrap()),
            address,
            unknown: bytes_of(&line()),
            requests: (0..keys).map(|_| bytes_of(&line())).collect(),
        }
    }

    /// The seconds that the process has been on a processor, on Linux.
    pub(super) fn busy(&self) -> f64 {
        let file = format!("/proc/{}/schedstat", self.process.id());
        let text = std::fs::read_to_string(file).expect("Linux");
        let nanoseconds: f64 = text.split(' ').next().unwrap().parse().unwrap();
        nanoseconds / 1e9
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.control = None;
        let _ = self.process.wait();
    }
}

/// A request of the other tables, as a client sends it.
fn bytes_of(key: &str) -> Vec<u8> {
    let request = request(Some(key), LEAST_HEADERS);
    let mut bytes = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri()).into_bytes();
    for (name, value) in request.headers() {
        let line = [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"];
        bytes.extend(line.concat());
    }
    bytes.extend(b"\r\n");
    bytes
}

/// The bare service with the two headers that the layer adds to each response.
#[derive(Clone)]
struct Headed;

impl<B> Service<Request<B>> for Headed {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<B>>::poll_ready(&mut Inner, context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Ok(mut response) = Inner.call(request).into_inner();
        let headers = response.headers_mut();
        headers.append(VARY, HeaderValue::from_static("x-api-key"));
        headers.append(CACHE_CONTROL, HeaderValue::from_static("private"));
        ready(Ok(response))
    }
}

/// Is a server until its first connection ends: `bare 100`, for one, with this many keys. It prints its address,
/// an unknown key and all valid ones.
pub(crate) fn serve(named: &str) {
    let (name, keys) = named.rsplit_once(' ').unwrap();
    let setup = Setup::new(keys.parse().unwrap(), SCOPES);
    let unknown = setup.request(Presented::Unknown, LEAST_HEADERS, &mut Draws::Hot);
    let unknown = unknown.headers()[X_API_KEY].to_str().unwrap();
    let runtime = client::runtime();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let mut output = std::io::stdout().lock();
    writeln!(output, "{}\n{unknown}", listener.local_addr().unwrap()).unwrap();
    for key in setup.keys() {
        writeln!(output, "{key}").unwrap();
    }
    output.flush().unwrap();
    let layer = ApiKeyLayer::new(setup.ring().clone());
    let layer = layer.require(setup.scopes().last().unwrap().as_str());
    match name {
        BARE => served(&runtime, listener, Inner),
        HEADED => served(&runtime, listener, Headed),
        FLOOR => served(&runtime, listener, setup.floor_with(true)),
        BY_HAND => served(&runtime, listener, setup.rival()),
        _ => served(&runtime, listener, layer.layer(Inner)),
    }
}

/// What callgrind counts.
#[inline(never)]
fn served<S, B>(runtime: &Runtime, listener: TcpListener, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    runtime.block_on(async move {
        let (mut control, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let service = TowerToHyperService::new(service.clone());
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        let _ = control.read(&mut [0]).await;
    });
}
