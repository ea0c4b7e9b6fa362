//! A node of a fleet: a process of its own that serves HTTP over a replica.
//!
//! It serves on a Unix socket, so that a fault of the network to the database is none between the
//! test and the node. What the observer of its replica hears is a line of its output.

use std::convert::Infallible;
use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::os::unix::net::UnixListener as StdListener;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use fork::Fork;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tower::{Layer, Service, service_fn};
use tower_api_key::replica::{Follow, Replica};
use tower_api_key::{ApiKeyLayer, Event, KeyRing, observer_fn};
use tower_api_key_postgres::PostgresOptions;

/// The URL of the database.
pub(super) const DATABASE: &str = "FLEET_DATABASE";
/// The staleness, in milliseconds.
pub(super) const STALENESS: &str = "FLEET_STALENESS";
/// The path of the socket.
pub(super) const SOCKET: &str = "FLEET_SOCKET";

/// The paths of requests after which the future that follows is gone, or is not polled any more.
pub(super) const DROP: &str = "/drop";
pub(super) const PANIC: &str = "/panic";
pub(super) const STARVE: &str = "/starve";

/// The path of a request after which the process forks, and the child serves too, on [`socket_of_child`].
pub(super) const FORK: &str = "/fork";

/// How long a stale node asks the database. Tests of an outage wait for its end.
const LOOKUP_TIMEOUT: Duration = Duration::from_millis(300);

#[test]
#[ignore = "a process of its own, which other tests start"]
fn node() {
    let Ok(database) = env::var(DATABASE) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(serve(&database));
}

#[allow(clippy::print_stdout, reason = "the test that started it reads it")]
async fn serve(database: &str) {
    let staleness = env::var(STALENESS).unwrap().parse().unwrap();
    let options = PostgresOptions::new().acquire_timeout(Duration::from_secs(5));
    let store = options.connect(database).await.unwrap();
    let (replica, follow) = Replica::options()
        .staleness(Duration::from_millis(staleness))
        .observer(observer_fn(say))
        .follow(store)
        .unwrap();
    let ring = KeyRing::builder("acme")
        .realm("orders")
        .lookup_timeout(LOOKUP_TIMEOUT)
        .build(replica.clone())
        .unwrap();
    let (end, ends) = unbounded_channel();
    let (fork, forks) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(follow_until(follow, ends));
    });
    let socket = PathBuf::from(env::var_os(SOCKET).unwrap());
    let listener = UnixListener::bind(&socket).unwrap();
    println!("listening");
    let inner = Inner {
        calls: Arc::default(),
        replica,
        end,
        fork,
    };
    let service = ApiKeyLayer::new(ring).layer(service_fn(move |request| inner.answer(&request)));
    let service = TowerToHyperService::new(service);
    let in_child = service.clone();
    thread::spawn(move || {
        if forks.recv().is_ok() {
            fork_here(&socket, in_child);
        }
    });
    accept(listener, service).await;
}

async fn accept<S, B>(listener: UnixListener, service: TowerToHyperService<S>) -> !
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Error + Send + Sync> + Send + 'static,
{
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(connection);
    }
}

/// Where the child of the node at this socket serves.
pub(super) fn socket_of_child(socket: &Path) -> PathBuf {
    socket.with_extension("child")
}

/// Forks. The child has the memory of the node, and this thread alone: no other one follows or keeps time.
fn fork_here<S, B>(socket: &Path, service: TowerToHyperService<S>)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Error + Send + Sync> + Send + 'static,
{
    let listener = StdListener::bind(socket_of_child(socket)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let node = process::id();
    // Held meanwhile, because the child has no thread that would unlock it.
    let mut output = io::stdout().lock();
    match fork::fork().unwrap() {
        Fork::Parent(child) => writeln!(output, "forked {child}").unwrap(),
        Fork::Child => {
            drop(output);
            thread::spawn(move || {
                while parent_id() == node {
                    thread::sleep(Duration::from_millis(50));
                }
                process::exit(0);
            });
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                accept(UnixListener::from_std(listener).unwrap(), service).await;
            });
        }
    }
}

/// A line for what the observer hears, with the failure and its causes.
#[allow(clippy::print_stdout, reason = "the test that started it reads it")]
fn say(event: &Event<'_>) {
    let mut line = event.kind().as_str().to_owned();
    let mut cause = event.failure().map(|failure| failure as &dyn Error);
    while let Some(failure) = cause {
        line = format!("{line}: {failure}");
        cause = failure.source();
    }
    println!("{line}");
}

/// What a body says about the node's memory.
pub(super) const FRESH: &str = "fresh";
pub(super) const STALE: &str = "stale";

/// The service behind the layer. Its body is the number of requests that reached it, and whether the
/// records in memory are fresh.
#[derive(Clone)]
struct Inner {
    calls: Arc<AtomicUsize>,
    replica: Replica,
    end: UnboundedSender<String>,
    fork: mpsc::Sender<()>,
}

impl Inner {
    fn answer(
        &self,
        request: &Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Full<Bytes>>, Infallible>> + use<> {
        let count = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let path = request.uri().path();
        match path {
            "/" => {}
            FORK => self.fork.send(()).unwrap(),
            _ => self.end.send(path.to_owned()).unwrap(),
        }
        let freshness = if self.replica.is_fresh() {
            FRESH
        } else {
            STALE
        };
        async move { Ok(Response::new(Full::from(format!("{count} {freshness}")))) }
    }
}

async fn follow_until(mut follow: Follow, mut ends: UnboundedReceiver<String>) {
    let end = tokio::select! {
        never = &mut follow => match never {},
        end = ends.recv() => end.unwrap(),
    };
    match end.as_str() {
        DROP => drop(follow),
        PANIC => panic!("the thread of the follower panics"),
        // The thread has other work, and never comes back to the future.
        STARVE => loop {
            thread::park();
        },
        _ => unreachable!("no such end: {end}"),
    }
}
