//! A tonic server whose services need one scope each, and a client that is let in, turned away
//! without a key, and turned away without the scope.
//!
//! `cargo run --example tonic` shows all three and ends; `cargo run --example tonic serve` stays
//! up for other clients. `PORT` chooses the port.
#![allow(clippy::print_stdout, reason = "the example talks to its reader")]

use std::convert::Infallible;
use std::error::Error;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{NamedService, UnaryService};
use tonic::service::LayerExt as _;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower_api_key::store::MemoryStore;
use tower_api_key::{ApiKeyLayer, Grant, KeyRing, RequireScopeLayer, VerifiedKey};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ring = KeyRing::builder("demo").build(MemoryStore::new())?;
    let issued = ring.issue(Grant::new("alice").scopes(["greet"])?).await?;
    let alice = issued.secret().expose();

    let stays_up = std::env::args().nth(1).as_deref() == Some("serve");
    let default_port = if stays_up { "3000" } else { "0" };
    let port = std::env::var("PORT").unwrap_or_else(|_| default_port.to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))
        .await
        .map_err(|error| format!("cannot listen on port {port}: {error}; set PORT to another"))?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}; Ctrl-C ends it\n");

    // One layer authenticates for the whole server; each service says what it needs.
    let server = Server::builder()
        .layer(ApiKeyLayer::new(ring))
        .add_service(RequireScopeLayer::new("greet").named_layer(OneMethod(Greeter)))
        .add_service(RequireScopeLayer::new("admin").named_layer(OneMethod(Admin)))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
            tokio::signal::ctrl_c().await.ok();
        });
    if stays_up {
        let curl = "curl -s -D - -o /dev/null --http2-prior-knowledge \
                    -H 'content-type: application/grpc' -H 'te: trailers'";
        let with_key = format!("{curl} -H 'x-api-key: {alice}'");
        let (greet, restart) = (Greeter::PATH, Admin::PATH);
        // Five zeros are an empty message. A refusal does not wait for one.
        println!("code 0   head -c 5 /dev/zero | {with_key} --data-binary @- {url}{greet}");
        println!("code 16  {curl} -X POST {url}{greet}");
        println!("code 7   {with_key} -X POST {url}{restart}");
        return Ok(server.await?);
    }

    tokio::spawn(server);
    let channel = Channel::from_shared(url)?.connect().await?;
    for (label, path, key) in [
        ("with the scope", Greeter::PATH, Some(alice)),
        ("without a key", Greeter::PATH, None),
        ("without the scope", Admin::PATH, Some(alice)),
    ] {
        match call(channel.clone(), path, key).await {
            Ok(reply) => println!("{path} {label}: OK, {}", reply.text),
            Err(status) => println!(
                "{path} {label}: code {}, {}",
                i32::from(status.code()),
                status.message()
            ),
        }
    }
    Ok(())
}

/// The service that needs `greet`.
#[derive(Clone)]
struct Greeter;

impl UnaryService<Text> for Greeter {
    type Response = Text;
    type Future = Ready<Result<Response<Text>, Status>>;

    fn call(&mut self, request: Request<Text>) -> Self::Future {
        // The layer's proof, from the extensions that tonic hands on.
        ready(match request.extensions().get::<VerifiedKey>() {
            Some(key) => Ok(Response::new(Text {
                text: format!("hello, {}", key.subject()),
            })),
            None => Err(Status::internal("no layer authenticates")),
        })
    }
}

/// The service that needs `admin`.
#[derive(Clone)]
struct Admin;

impl UnaryService<Text> for Admin {
    type Response = Text;
    type Future = Ready<Result<Response<Text>, Status>>;

    fn call(&mut self, _: Request<Text>) -> Self::Future {
        ready(Ok(Response::new(Text {
            text: "restarted".to_owned(),
        })))
    }
}

// What follows stands in for the code that `tonic-prost-build` makes from a .proto file.

#[derive(Clone, PartialEq, prost::Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

impl NamedService for Greeter {
    const NAME: &'static str = "demo.Greeter";
}

impl NamedService for Admin {
    const NAME: &'static str = "demo.Admin";
}

trait Method: UnaryService<Text, Response = Text> + NamedService {
    const PATH: &'static str;
}

impl Method for Greeter {
    const PATH: &'static str = "/demo.Greeter/Greet";
}

impl Method for Admin {
    const PATH: &'static str = "/demo.Admin/Restart";
}

/// A gRPC service of one unary method.
#[derive(Clone)]
struct OneMethod<M>(M);

impl<M: NamedService> NamedService for OneMethod<M> {
    const NAME: &'static str = M::NAME;
}

impl<M> Service<http::Request<Body>> for OneMethod<M>
where
    M: Method + Clone + Send + 'static,
    M::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = self.0.clone();
        Box::pin(async move {
            if request.uri().path() != M::PATH {
                return Ok(Status::unimplemented("no such method").into_http());
            }
            let mut server = tonic::server::Grpc::new(ProstCodec::<Text, Text>::default());
            Ok(server.unary(method, request).await)
        })
    }
}

/// One unary call, with a key or without.
async fn call(channel: Channel, path: &'static str, key: Option<&str>) -> Result<Text, Status> {
    let mut request = Request::new(Text::default());
    if let Some(key) = key {
        let key = key
            .parse()
            .map_err(|_| Status::invalid_argument("this key fits no header"))?;
        request.metadata_mut().insert("x-api-key", key);
    }
    let mut client = tonic::client::Grpc::new(channel);
    client
        .ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let path = http::uri::PathAndQuery::from_static(path);
    let reply = client
        .unary(request, path, ProstCodec::<Text, Text>::default())
        .await?;
    Ok(reply.into_inner())
}
