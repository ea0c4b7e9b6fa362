//! A service with one unary method, like generated code, with its server and its client.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Extensions, Request};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::server::{NamedService, UnaryService};
use tonic::service::{LayerExt as _, Routes};
use tonic::transport::Endpoint;
use tonic::{Response, Status};
use tonic_prost::ProstCodec;
use tower::{Layer, Service};
use tower_api_key::store::BoxFuture;
use tower_api_key::{ApiKeyLayer, VerifiedKey};

pub(super) const PATH: &str = "/acme.Greeter/Say";

#[derive(Clone, PartialEq, prost::Message)]
struct Words {
    #[prost(string, tag = "1")]
    text: String,
}

/// What a method checks before it answers.
pub(super) type Check = fn(&Extensions) -> Result<(), Status>;

/// Answers with the words, their speaker, and whether it can see a credential.
#[derive(Clone)]
struct Greeter {
    calls: Arc<AtomicUsize>,
    check: Check,
}

impl NamedService for Greeter {
    const NAME: &'static str = "acme.Greeter";
}

impl Service<Request<Body>> for Greeter {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = Say(self.clone());
        let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
        Box::pin(async move { Ok(grpc.unary(method, request).await) })
    }
}

struct Say(Greeter);

impl UnaryService<Words> for Say {
    type Response = Words;
    type Future = std::future::Ready<Result<Response<Words>, Status>>;

    fn call(&mut self, request: tonic::Request<Words>) -> Self::Future {
        if let Err(status) = (self.0.check)(request.extensions()) {
            return std::future::ready(Err(status));
        }
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        let who = match request.extensions().get::<VerifiedKey>() {
            Some(key) => format!("{} ({})", key.subject(), key.scopes()),
            None => "nobody".to_owned(),
        };
        let metadata = request.metadata();
        let credential = ["x-api-key", "authorization"]
            .into_iter()
            .find(|name| metadata.contains_key(*name))
            .unwrap_or("no credential");
        let text = format!("{}, {who}; {credential}", request.get_ref().text);
        std::future::ready(Ok(Response::new(Words { text })))
    }
}

/// A tonic server on the loopback interface, until it is [stopped](Self::stop).
pub(super) struct Server {
    pub(super) address: SocketAddr,
    calls: Arc<AtomicUsize>,
    end: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Server {
    pub(super) async fn start<L, ResBody>(layer: L) -> Self
    where
        L: Layer<Routes> + Clone + Send + Sync + 'static,
        L::Service: Service<
                Request<Body>,
                Response = http::Response<ResBody>,
                Error: Into<tonic::codegen::StdError> + Send,
                Future: Send,
            > + Clone
            + Send
            + 'static,
        ResBody:
            http_body::Body<Data = Bytes, Error: Into<tonic::codegen::StdError>> + Send + 'static,
    {
        Self::checking(layer, |_| Ok(())).await
    }

    /// As [`start`](Self::start), with a method that makes this check.
    pub(super) async fn checking<L, ResBody>(layer: L, check: Check) -> Self
    where
        L: Layer<Routes> + Clone + Send + Sync + 'static,
        L::Service: Service<
                Request<Body>,
                Response = http::Response<ResBody>,
                Error: Into<tonic::codegen::StdError> + Send,
                Future: Send,
            > + Clone
            + Send
            + 'static,
        ResBody:
            http_body::Body<Data = Bytes, Error: Into<tonic::codegen::StdError>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let greeter = Greeter {
            calls: Arc::default(),
            check,
        };
        let calls = Arc::clone(&greeter.calls);
        let (end, ended) = oneshot::channel::<()>();
        let serving = tonic::transport::Server::builder()
            .layer(layer)
            .add_service(greeter)
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
                ended.await.ok();
            });
        Self {
            address,
            calls,
            end,
            serving: tokio::spawn(serving),
        }
    }

    /// A server whose layer is on the service, inside the server's router.
    pub(super) async fn inside(layer: ApiKeyLayer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let greeter = Greeter {
            calls: Arc::default(),
            check: |_| Ok(()),
        };
        let calls = Arc::clone(&greeter.calls);
        let (end, ended) = oneshot::channel::<()>();
        let serving = tonic::transport::Server::builder()
            .add_service(layer.named_layer(greeter))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
                ended.await.ok();
            });
        Self {
            address,
            calls,
            end,
            serving: tokio::spawn(serving),
        }
    }

    /// The number of calls of the method.
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    pub(super) async fn stop(self) {
        self.end.send(()).unwrap();
        self.serving.await.unwrap().unwrap();
    }
}

/// Calls the method at this path with this metadata.
pub(super) async fn say(
    server: &Server,
    path: &str,
    metadata: MetadataMap,
    text: &str,
) -> Result<String, Status> {
    let channel = Endpoint::new(format!("http://{}", server.address))
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let mut request = tonic::Request::new(Words {
        text: text.to_owned(),
    });
    *request.metadata_mut() = metadata;
    let path: PathAndQuery = path.parse().unwrap();
    let answer: Response<Words> = client.unary(request, path, ProstCodec::default()).await?;
    Ok(answer.into_inner().text)
}
