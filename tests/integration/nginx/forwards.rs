//! Rule 27 behind nginx: the address that it appends counts, whatever the client sends.

use std::net::{IpAddr, SocketAddr};

use http::Extensions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tower::Layer;
use tower_api_key::store::MemoryStore;
use tower_api_key::{ApiKeyLayer, CaveatKind, ClientAddress, Grant, KeyRing, TrustedProxies};

use super::proxy::{Backend, Nginx};
use crate::support::Inner;

fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<SocketAddr>().map(SocketAddr::ip)
}

/// The status of a request from this address of loopback, with this further header.
async fn status(from: &str, to: SocketAddr, key: &str, header: &str) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-api-key: {key}\r\n{header}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r27_nginx_says_where_a_client_is_and_the_client_does_not() {
    let ring = KeyRing::builder("acme")
        .grantable_caveats([CaveatKind::Net])
        .build(MemoryStore::new())
        .unwrap();
    let grant = Grant::new("ci").caveats(["net=127.0.0.2"]);
    let issued = ring.issue(grant).await.unwrap();
    let key = issued.secret().expose();
    let proxies = TrustedProxies::x_forwarded_for(["127.0.0.1"]).unwrap();
    let layer = ApiKeyLayer::new(ring).client_address(ClientAddress::peer(peer).behind(proxies));
    let backend = Backend::start(layer.layer(Inner::new())).await;
    let server = format!(
        "location / {{ proxy_pass http://{}; \
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }}",
        backend.address
    );
    let Some(nginx) = Nginx::start("the address of a client", "", &server).await else {
        return;
    };
    for (from, to, header, expected) in [
        ("127.0.0.2", nginx.address, "", "200"),
        ("127.0.0.3", nginx.address, "", "401"),
        (
            "127.0.0.3",
            nginx.address,
            "x-forwarded-for: 127.0.0.2\r\n",
            "401",
        ),
        (
            "127.0.0.2",
            nginx.address,
            "x-forwarded-for: 127.0.0.3\r\n",
            "200",
        ),
        // Around the proxy.
        ("127.0.0.2", backend.address, "", "200"),
        (
            "127.0.0.3",
            backend.address,
            "x-forwarded-for: 127.0.0.2\r\n",
            "401",
        ),
    ] {
        let seen = status(from, to, key, header).await;
        assert_eq!(seen, expected, "from {from} to {to} with {header:?}");
    }
}
