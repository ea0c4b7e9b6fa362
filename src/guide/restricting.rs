//! Restricting a key to a network or a certificate.
//!
//! A key that is copied works for the copier too. A caveat makes a copy useless outside the place that
//! the key was issued for: a request must meet every [caveat](crate::Caveat) of its key, by facts that
//! the client does not choose.
//!
//! | caveat | a request meets it if | use it for |
//! |---|---|---|
//! | `net=10.0.0.0/8,2001:db8::/32` | the client's address is in one of the networks | a job in a data centre, a partner with fixed addresses |
//! | `cnf=x5t#S256:…` | the client has proven in the TLS handshake that the certificate with this thumbprint is its own (RFC 8705 §3.1) | a client that has a certificate anyway |
//!
//! `cnf` is the stronger one, because a thief also needs the private key. `net` needs no work by the
//! holder, but everybody behind the same address translation meets it. Do not give `net` to a client
//! whose address changes, such as a phone.
//!
//! A caveat restricts the client and never the route. For routes there are
//! [scopes](crate::RequireScopeLayer).
//!
//! # A network
//!
//! A ring grants a caveat only if [`grantable_caveats`](crate::KeyRingBuilder::grantable_caveats) names
//! its kind. A layer over such a ring does not build without a source of the fact, so that a key is never
//! granted that the service would refuse:
//!
//! ```
//! use std::net::{IpAddr, SocketAddr};
//!
//! # use bytes::Bytes;
//! # use http_body_util::Full;
//! # use tower::service_fn;
//! use http::{Extensions, HeaderValue, Request, Response, StatusCode};
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_api_key::{
//!     ApiKeyLayer, CaveatKind, ClientAddress, Grant, InvalidCause, KeyRing, Rejection,
//!     store::MemoryStore,
//! };
//!
//! /// The address of the connection's peer, which the accept loop put into the request.
//! fn peer(extensions: &Extensions) -> Option<IpAddr> {
//!     extensions.get::<SocketAddr>().map(SocketAddr::ip)
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let ring = KeyRing::builder("acme")
//!     .grantable_caveats([CaveatKind::Net])
//!     .build(MemoryStore::new())?;
//! let grant = Grant::new("nightly")
//!     .scopes(["orders:read"])
//!     .caveats(["net=10.0.0.0/8,2001:db8::/32"]);
//! let issued = ring.issue(grant).await?;
//!
//! # let handler = service_fn(|_: Request<()>| async {
//! #     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default()))
//! # });
//! let service = ServiceBuilder::new()
//!     .layer(ApiKeyLayer::new(ring).client_address(ClientAddress::peer(peer)))
//!     .service(handler);
//!
//! let request_from = |address: [u8; 4]| {
//!     let mut request = Request::new(());
//!     let key = HeaderValue::from_str(issued.secret().expose()).unwrap();
//!     request.headers_mut().insert("x-api-key", key);
//!     request.extensions_mut().insert(SocketAddr::from((address, 4711)));
//!     request
//! };
//! let inside = service.clone().oneshot(request_from([10, 1, 2, 3])).await?;
//! assert_eq!(inside.status(), StatusCode::OK);
//!
//! let outside = service.oneshot(request_from([203, 0, 113, 9])).await?;
//! assert_eq!(outside.status(), StatusCode::UNAUTHORIZED);
//! let rejection = outside.extensions().get::<Rejection>().expect("refused by the layer");
//! assert_eq!(rejection.cause(), Some(InvalidCause::CaveatNotMet));
//! assert_eq!(rejection.key_id(), Some(issued.id()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! The server puts the address of the peer into the extensions: axum as `ConnectInfo<SocketAddr>`, if it
//! serves `into_make_service_with_connect_info`, and tonic as `TcpConnectInfo`. An accept loop of your own
//! inserts it by itself. If the function finds no address, as on a Unix socket, a key with `net` is
//! refused. [`Networks`](crate::Networks) has the notation of networks.
//!
//! # Behind a proxy
//!
//! Behind a proxy the peer of every connection is the proxy. Name your proxies, and the header to which
//! they append the address of their own peer. The client is then counted from the right:
//!
//! ```
//! # use std::net::{IpAddr, SocketAddr};
//! # use bytes::Bytes;
//! # use http::{Extensions, HeaderValue, Request, Response, StatusCode};
//! # use http_body_util::Full;
//! # use tower::{ServiceBuilder, ServiceExt, service_fn};
//! # use tower_api_key::{ApiKeyLayer, CaveatKind, ClientAddress, Grant, KeyRing, store::MemoryStore};
//! use std::num::NonZeroUsize;
//!
//! use tower_api_key::TrustedProxies;
//!
//! # fn peer(extensions: &Extensions) -> Option<IpAddr> {
//! #     extensions.get::<SocketAddr>().map(SocketAddr::ip)
//! # }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # let ring = KeyRing::builder("acme")
//! #     .grantable_caveats([CaveatKind::Net])
//! #     .build(MemoryStore::new())?;
//! # let grant = Grant::new("partner").caveats(["net=203.0.113.0/24"]);
//! # let issued = ring.issue(grant).await?;
//! // Every request comes through two proxies in a row, and both are in this network.
//! let proxies = TrustedProxies::x_forwarded_for(["10.0.0.0/24"])?
//!     .number(NonZeroUsize::new(2).expect("not zero"));
//! let layer = ApiKeyLayer::new(ring).client_address(ClientAddress::peer(peer).behind(proxies));
//! # let service = ServiceBuilder::new().layer(layer).service(service_fn(|_: Request<()>| async {
//! #     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default()))
//! # }));
//! # let send = async |address: [u8; 4], header: &'static str| {
//! #     let mut request = Request::new(());
//! #     let key = HeaderValue::from_str(issued.secret().expose()).unwrap();
//! #     request.headers_mut().insert("x-api-key", key);
//! #     request.headers_mut().insert("x-forwarded-for", HeaderValue::from_static(header));
//! #     request.extensions_mut().insert(SocketAddr::from((address, 4711)));
//! #     service.clone().oneshot(request).await.unwrap().status()
//! # };
//!
//! // A key with net=203.0.113.0/24, the peer of the connection, and X-Forwarded-For. The client is the
//! // second address from the right.
//! let accepted = send([10, 0, 0, 7], "203.0.113.9, 10.0.0.8").await;
//! assert_eq!(accepted, StatusCode::OK);
//! // A client may send the header too. What it sent stands on the left, and is not read.
//! let forged = send([10, 0, 0, 7], "203.0.113.9, 198.51.100.1, 10.0.0.8").await;
//! assert_eq!(forged, StatusCode::UNAUTHORIZED);
//! // A peer that is not a proxy is the client itself. Its header is not read.
//! let direct = send([198, 51, 100, 1], "203.0.113.9, 10.0.0.8").await;
//! assert_eq!(direct, StatusCode::UNAUTHORIZED);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! [`TrustedProxies::forwarded`](crate::TrustedProxies::forwarded) does the same for `Forwarded`
//! (RFC 7239). Only the header that you name is read. If it has no address in the counted place, the
//! request has no address, and a key with `net` is refused.
//!
//! # A certificate
//!
//! If the service ends TLS itself, its accept loop puts the certificate of the session into the
//! extensions. If a proxy ends TLS, it hands the certificate on in `Client-Cert` (RFC 9440):
//!
//! ```
//! # use std::net::{IpAddr, SocketAddr};
//! # use bytes::Bytes;
//! # use http::{Extensions, HeaderValue, Request, Response, StatusCode};
//! # use http_body_util::Full;
//! # use tower::{Layer, ServiceExt, service_fn};
//! # use tower_api_key::{ApiKeyLayer, CaveatKind, Grant, KeyRing, store::MemoryStore};
//! use tower_api_key::{CertificateThumbprint, ClientCertificate};
//!
//! /// The certificate in DER that the client showed, from the TLS session.
//! #[derive(Clone)]
//! struct Shown(Vec<u8>);
//!
//! # fn peer(extensions: &Extensions) -> Option<IpAddr> {
//! #     extensions.get::<SocketAddr>().map(SocketAddr::ip)
//! # }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # let certificate = b"certificate";
//! let ring = KeyRing::builder("acme")
//!     .grantable_caveats([CaveatKind::Confirmation])
//!     .build(MemoryStore::new())?;
//! let thumbprint = CertificateThumbprint::of_der(certificate);
//! let caveat = format!("cnf=x5t#S256:{thumbprint}");
//! let issued = ring.issue(Grant::new("partner").caveats([caveat])).await?;
//!
//! // The service ends TLS.
//! let direct = ClientCertificate::extension(|extensions| {
//!     let shown: &Shown = extensions.get()?;
//!     Some(CertificateThumbprint::of_der(&shown.0))
//! });
//! let direct = ApiKeyLayer::new(ring.clone()).client_certificate(direct);
//!
//! // Proxies in this network end TLS.
//! let proxied = ClientCertificate::from_proxy(peer, ["10.0.0.0/24"])?;
//! let proxied = ApiKeyLayer::new(ring).client_certificate(proxied);
//!
//! # let handler = service_fn(|_: Request<()>| async {
//! #     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default()))
//! # });
//! # let request = |address: [u8; 4]| {
//! #     let mut request = Request::new(());
//! #     let key = HeaderValue::from_str(issued.secret().expose()).unwrap();
//! #     request.headers_mut().insert("x-api-key", key);
//! #     request.extensions_mut().insert(SocketAddr::from((address, 4711)));
//! #     request
//! # };
//! # let mut shown = request([203, 0, 113, 9]);
//! # shown.extensions_mut().insert(Shown(certificate.to_vec()));
//! # let response = direct.layer(handler.clone()).oneshot(shown).await?;
//! # assert_eq!(response.status(), StatusCode::OK);
//! # let hidden = request([203, 0, 113, 9]);
//! # let response = direct.layer(handler.clone()).oneshot(hidden).await?;
//! # assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
//! # for (address, expected) in [
//! #     ([10, 0, 0, 7], StatusCode::OK),
//! #     ([203, 0, 113, 9], StatusCode::UNAUTHORIZED),
//! # ] {
//! #     let mut request = request(address);
//! #     let value = HeaderValue::from_static(":Y2VydGlmaWNhdGU=:");
//! #     request.headers_mut().insert("client-cert", value);
//! #     let response = proxied.layer(handler.clone()).oneshot(request).await?;
//! #     assert_eq!(response.status(), expected);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! The thumbprint of a certificate in a file, for the caveat:
//!
//! ```sh
//! openssl x509 -in client.pem -outform der | openssl dgst -sha256 -binary \
//!     | openssl base64 | tr '+/' '-_' | tr -d '='
//! ```
//!
//! A renewed certificate has another thumbprint, even for the same private key. Issue or
//! [`regrant`](crate::KeyRing::regrant) a key for it before the old certificate ends. The crate does not
//! read the certificate: whether it has expired, and who signed it, is up to the TLS layer.
//!
//! # What must hold of the proxies
//!
//! A caveat is as good as the facts. If a client can write them, it meets every caveat:
//!
//! | a proxy that | what a client can do |
//! |---|---|
//! | appends the address of its peer, or puts it in the place of the header | nothing |
//! | passes `X-Forwarded-For` or `Forwarded` on unchanged, as nginx does without a `proxy_set_header` for it | name any address |
//! | passes `Client-Cert` on unchanged | name any certificate: certificates are public |
//! | removes the header that a client sent, and sends none | nothing: the request has no fact, and the key is refused |
//!
//! - Send a forged header through the whole chain, and check that the key is refused.
//! - The networks of [`TrustedProxies`](crate::TrustedProxies) and
//!   [`from_proxy`](crate::ClientCertificate::from_proxy) are those of your proxies alone. Any other
//!   machine in them can write the headers.
//! - Every request must come through [`number`](crate::TrustedProxies::number) proxies. With too low a
//!   number, each client has the address of a proxy, and meets a `net` that includes the proxies. With
//!   too high a number, the key is refused, except if the client is itself in the networks of the proxies:
//!   then its own header is read.
//!
//! # Caveats only grow
//!
//! [`narrow`](crate::KeyRing::narrow) adds a caveat to a key that is in use. Nothing removes one:
//!
//! ```
//! # use std::time::Duration;
//! use tower_api_key::{CaveatKind, Facts, Grant, KeyRing, Narrowing, store::MemoryStore};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let ring = KeyRing::builder("acme")
//!     .grantable_caveats([CaveatKind::Net])
//!     .build(MemoryStore::new())?;
//! let issued = ring.issue(Grant::new("nightly").caveats(["net=10.0.0.0/8"])).await?;
//!
//! let narrowing = Narrowing::new().with_caveats(["net=10.1.0.0/16"]);
//! let narrowed = ring.narrow(issued.id(), narrowing).await?;
//! assert_eq!(narrowed.caveats().as_str(), "net=10.0.0.0/8 net=10.1.0.0/16");
//!
//! // A request must meet both. Without HTTP, the facts are an argument.
//! let key = issued.secret().expose().as_bytes();
//! let from = |address: [u8; 4]| Facts::none().client_address(address.into());
//! assert!(ring.verify_with(key, from([10, 1, 2, 3])).await.is_ok());
//! assert!(ring.verify_with(key, from([10, 2, 2, 3])).await.is_err());
//! assert!(ring.verify(key).await.is_err());
//!
//! // A rotation copies the caveats. A regrant has those of its own grant.
//! let rotated = ring.rotate(issued.id(), Duration::from_secs(3600)).await?;
//! assert_eq!(rotated.record().caveats(), narrowed.caveats());
//! let regranted = ring.regrant(rotated.id(), Grant::new("nightly")).await?;
//! assert!(regranted.record().caveats().is_empty());
//! # Ok::<(), tower_api_key::Error>(())
//! # }).unwrap();
//! ```
//!
//! - [`regrant`](crate::KeyRing::regrant) and [`promote`](crate::KeyRing::promote) make another secret with
//!   another authority, and end the old one. Repeat the caveats in the grant, if they are to stay.
//! - `narrow` also ends the keys of the lineage that are in their grace period, as it does if it takes
//!   scopes.
//! - The next request is judged by the new caveats. A stream that has begun goes on: a
//!   [`watch`](crate::KeyRing::watch) ends with its key, not with a narrowing. To end streams too,
//!   regrant or revoke the key.
//! - From a shell: `tower-api-key issue --caveat net=10.0.0.0/8 …`, and `tower-api-key narrow ID --caveat …`.
//!   The program cannot see the layers of the service, so it grants caveats of every kind that it knows. If
//!   the layer has no source of the fact, it refuses the key.
//!
//! # A caveat that this version does not know
//!
//! A newer version of the crate may know more kinds. A record keeps the caveats that it has, as texts, in
//! every store. A version that does not know one of them refuses the key as
//! [`UnknownCaveat`](crate::InvalidCause::UnknownCaveat). It can still rotate, narrow and revoke the key. So
//! update every service of a realm first, and grant the new kind then.
//!
//! # What the client and the observer see
//!
//! The client receives the same 401 as for any other invalid key, equal to the byte. It does not learn
//! that the key exists, nor which caveat it did not meet.
//!
//! The [observer](crate::Observer) receives [`Rejected`](crate::EventKind::Rejected) with the id and the
//! subject of the key, and with [`CaveatNotMet`](crate::InvalidCause::CaveatNotMet) or
//! [`UnknownCaveat`](crate::InvalidCause::UnknownCaveat) as the cause. The fact is not in the event. Such an
//! event may mean that the key has leaked: somebody presents it from elsewhere. The use is not recorded as
//! the key's last.
