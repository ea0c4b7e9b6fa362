//! An nginx of the test's own, the server behind it, and a client on a bare socket.

use std::convert::Infallible;
use std::fs;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tower::{Service, ServiceExt};

use crate::folder::Folder;

/// Longer only if nginx hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A hyper server on its own port, which ends with the test.
pub(super) struct Backend {
    pub(super) address: SocketAddr,
    accepting: JoinHandle<Infallible>,
}

impl Backend {
    pub(super) async fn start<S, ResBody>(service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<ResBody>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
        ResBody: http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                let service = service
                    .clone()
                    .map_request(move |request: Request<Incoming>| {
                        let mut request = request;
                        request.extensions_mut().insert(peer);
                        request
                    });
                let service = TowerToHyperService::new(service);
                connections.spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    let connection = server.serve_connection(TokioIo::new(stream), service);
                    // Clients may disconnect at any time.
                    connection.await.ok();
                });
            }
        });
        Self { address, accepting }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// An nginx that runs until it is dropped.
pub(super) struct Nginx {
    pub(super) address: SocketAddr,
    process: Child,
    _folder: Folder,
}

impl Nginx {
    /// Starts nginx with this text in its `http` block and in that of its one server. If nginx is
    /// not installed, prints a line and returns `None`.
    pub(super) async fn start(test: &str, http: &str, server: &str) -> Option<Self> {
        if let Err(error) = Command::new("nginx")
            .arg("-v")
            .stderr(Stdio::null())
            .status()
        {
            crate::support::not_run(format_args!("{test}: nginx cannot be started: {error}"));
            return None;
        }
        // Another process may take the port between the check and the start.
        for _ in 0..5 {
            if let Some(nginx) = Self::try_start(http, server).await {
                return Some(nginx);
            }
        }
        panic!("nginx does not listen");
    }

    async fn try_start(http: &str, server: &str) -> Option<Self> {
        let folder = Folder::new();
        let free = StdListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let path = folder.path().to_str().unwrap();
        let configuration = format!(
            "daemon off;\nmaster_process off;\npid {path}/pid;\nerror_log stderr crit;\n\
             events {{ worker_connections 256; }}\n\
             http {{\naccess_log off;\nclient_body_temp_path {path}/body;\n\
             proxy_temp_path {path}/proxy;\nfastcgi_temp_path {path}/fastcgi;\n\
             uwsgi_temp_path {path}/uwsgi;\nscgi_temp_path {path}/scgi;\n\
             {}\nserver {{\nlisten {address};\n{server}\n}}\n}}\n",
            http.replace("$folder", path)
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, configuration).unwrap();
        let process = Command::new("nginx")
            .args(["-e", "stderr", "-p", path, "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut nginx = Self {
            address,
            process,
            _folder: folder,
        };
        let listening = async {
            loop {
                if TcpStream::connect(address).await.is_ok() {
                    return true;
                }
                if nginx.process.try_wait().unwrap().is_some() {
                    return false;
                }
                tokio::task::yield_now().await;
            }
        };
        let listens = tokio::time::timeout(PATIENCE, listening).await.unwrap();
        listens.then_some(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The response.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Sends a request without a body on its own connection.
pub(super) async fn ask(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let mut request = format!("{method} {target} HTTP/1.0\r\nhost: acme.test\r\n");
    for (name, value) in headers {
        request.extend([*name, ": ", *value, "\r\n"]);
    }
    request += "\r\n";
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = tokio::time::timeout(PATIENCE, exchange).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
