//! A tonic server whose services need one scope each, with one method that needs another. A client is
//! accepted, rejected without a key, and rejected without a scope.
//!
//! `cargo run -p tower-api-key-tests --example tonic` shows all of it and ends. `cargo run -p tower-api-key-tests --example tonic serve` stays
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
use tonic::metadata::MetadataMap;
use tonic::server::{NamedService, UnaryService};
use tonic::service::{LayerExt as _, Routes};
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower_api_key::store::MemoryStore;
use tower_api_key::{
    ApiKeyLayer, Grant, KeyRing, Rejection, RequireScopeLayer, Requirement, VerifiedKey,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ring = KeyRing::builder("demo").build(MemoryStore::new())?;
    let issued = ring.issue(Grant::new("alice").scopes(["greet"])).await?;
    let alice = issued.secret().expose();
    let both = Grant::new("bob").scopes(["greet", "greet:write"]);
    let issued = ring.issue(both).await?;
    let bob = issued.secret().expose();

    let stays_up = std::env::args().nth(1).as_deref() == Some("serve");
    let default_port = if stays_up { "3000" } else { "0" };
    let port = std::env::var("PORT").unwrap_or_else(|_| default_port.to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))
        .await
        .map_err(|error| format!("cannot listen on port {port}: {error}; set PORT to another"))?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}; Ctrl-C ends it\n");

    // One layer authenticates for the whole server.
    let server = Server::builder()
        .layer(ApiKeyLayer::new(ring))
        .add_routes(services())
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
            tokio::signal::ctrl_c().await.ok();
        });
    if stays_up {
        let curl = "curl -s -D - -o /dev/null --http2-prior-knowledge \
                    -H 'content-type: application/grpc' -H 'te: trailers'";
        let with_key = format!("{curl} -H 'x-api-key: {alice}'");
        let (greet, rename, restart) = (GREET, RENAME, RESTART);
        // Five zeros are an empty message. A refusal does not wait for one.
        println!("code 0   head -c 5 /dev/zero | {with_key} --data-binary @- {url}{greet}");
        println!("code 16  {curl} -X POST {url}{greet}");
        println!("code 7   {with_key} -X POST {url}{restart}");
        println!("code 7   head -c 5 /dev/zero | {with_key} --data-binary @- {url}{rename}");
        return Ok(server.await?);
    }

    tokio::spawn(server);
    let channel = Channel::from_shared(url)?.connect().await?;
    for (label, path, key) in [
        ("with the scope", GREET, Some(alice)),
        ("without a key", GREET, None),
        ("without the scope", RESTART, Some(alice)),
        ("with one of two scopes", RENAME, Some(alice)),
        ("with both", RENAME, Some(bob)),
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

/// Each service says which scope it needs.
pub(crate) fn services() -> Routes {
    Routes::new(RequireScopeLayer::new("greet").named_layer(Unary(Greeter)))
        .add_service(RequireScopeLayer::new("admin").named_layer(Unary(Admin)))
}

const GREET: &str = "/demo.Greeter/Greet";
const RENAME: &str = "/demo.Greeter/Rename";
const RESTART: &str = "/demo.Admin/Restart";

/// The service that needs `greet`, and `greet:write` for one of its methods.
#[derive(Clone)]
struct Greeter;

impl Greeter {
    fn greet(request: &Request<Text>) -> Result<Text, Status> {
        // The layer's proof, from the extensions that tonic passes on.
        let key = VerifiedKey::of(request.extensions()).map_err(status)?;
        Ok(text(format!("hello, {}", key.subject())))
    }

    fn rename(request: &Request<Text>) -> Result<Text, Status> {
        let key = holder_of("greet:write", request)?;
        Ok(text(format!("renamed by {}", key.subject())))
    }
}

/// The key of a request that has one more scope than its service needs.
fn holder_of<'a>(scope: &str, request: &'a Request<Text>) -> Result<&'a VerifiedKey, Status> {
    let required =
        Requirement::scope(scope).map_err(|error| Status::internal(error.to_string()))?;
    let key = VerifiedKey::of(request.extensions()).map_err(status)?;
    key.require(&required).map_err(status)?;
    Ok(key)
}

/// The status of a rejection. The layer recognises the metadata, so that its observers receive it.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn status(rejection: Rejection) -> Status {
    let metadata = MetadataMap::from_headers(rejection.grpc_metadata());
    Status::with_metadata(rejection.grpc_code().into(), rejection.detail(), metadata)
}

/// The service that needs `admin`.
#[derive(Clone)]
struct Admin;

// The rest stands in for the code that `tonic-prost-build` generates from a .proto file.

#[derive(Clone, PartialEq, prost::Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

fn text(text: String) -> Text {
    Text { text }
}

impl NamedService for Greeter {
    const NAME: &'static str = "demo.Greeter";
}

impl NamedService for Admin {
    const NAME: &'static str = "demo.Admin";
}

type Handler = fn(&Request<Text>) -> Result<Text, Status>;

/// The handlers of a service, by their paths.
trait Methods: NamedService {
    const METHODS: &'static [(&'static str, Handler)];
}

impl Methods for Greeter {
    const METHODS: &'static [(&'static str, Handler)] =
        &[(GREET, Self::greet), (RENAME, Self::rename)];
}

impl Methods for Admin {
    const METHODS: &'static [(&'static str, Handler)] =
        &[(RESTART, |_| Ok(text("restarted".to_owned())))];
}

/// One method at work.
struct Call(Handler);

impl UnaryService<Text> for Call {
    type Response = Text;
    type Future = Ready<Result<Response<Text>, Status>>;

    fn call(&mut self, request: Request<Text>) -> Self::Future {
        ready((self.0)(&request).map(Response::new))
    }
}

/// A gRPC service of unary methods.
#[derive(Clone)]
struct Unary<M>(M);

impl<M: NamedService> NamedService for Unary<M> {
    const NAME: &'static str = M::NAME;
}

impl<M: Methods> Service<http::Request<Body>> for Unary<M> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let mut methods = M::METHODS.iter();
        let handler = methods.find(|(path, _)| *path == request.uri().path());
        Box::pin(async move {
            let Some((_, handler)) = handler else {
                return Ok(Status::unimplemented("no such method").into_http());
            };
            let mut server = tonic::server::Grpc::new(ProstCodec::<Text, Text>::default());
            Ok(server.unary(Call(*handler), request).await)
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
