//! API-key authentication and scope authorisation for any tower service.
//!
//! A request comes in, its key is authenticated, the key's subject and scopes are attached as a
//! [`VerifiedKey`] extension, and a request whose key lacks the required scope is refused before
//! the inner service runs.
//!
//! ```
//! use bytes::Bytes;
//! use http::{HeaderValue, Request, Response, StatusCode};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_api_key::{
//!     ApiKeyLayer, Grant, KeyRing, RequireScopeLayer, VerifiedKey, store::MemoryStore,
//! };
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! // The prefix starts every key: acme_live_…. A key of one realm is unknown to every other.
//! let ring = KeyRing::builder("acme_live").realm("orders").build(MemoryStore::new())?;
//!
//! // Minted by trusted code, shown once, kept as a digest.
//! let issued = ring.issue(Grant::new("alice").scopes(["orders:read"])).await?;
//!
//! let service = ServiceBuilder::new()
//!     .layer(ApiKeyLayer::new(ring.clone()))
//!     .layer(RequireScopeLayer::new("orders:read"))
//!     .service(tower::service_fn(|request: Request<()>| async move {
//!         let key = VerifiedKey::of(request.extensions()).expect("authenticated");
//!         let greeting = format!("hello {}", key.subject());
//!         Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from(greeting)))
//!     }));
//!
//! let mut request = Request::new(());
//! let value = HeaderValue::from_str(issued.secret().expose())?;
//! request.headers_mut().insert("x-api-key", value);
//! assert_eq!(service.clone().oneshot(request).await?.status(), StatusCode::OK);
//!
//! let without_a_key = service.oneshot(Request::new(())).await?;
//! assert_eq!(without_a_key.status(), StatusCode::UNAUTHORIZED);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # Where to look
//!
//! - [`KeyRing`] issues, imports, verifies, rotates, regrants, narrows, describes and revokes keys.
//!   [`Grant`]
//!   describes the rights of a key, [`KeyRingBuilder`] limits the grants of a ring.
//! - [`Verifier`] is a ring that only verifies, also over a table of tokens that a service has already. [`Owners`] limit keys to the
//!   rights that their owner has now.
//! - [`ApiKeyLayer`] authenticates requests. [`Authenticator`] does it as a call, in an extractor or a handler.
//!   [`RequireScopeLayer`] requires scopes further in.
//!   [`RouteTable`] says who may use each route of a service, and every other route is refused.
//! - [`Source`] says where a key may be, by default in `x-api-key`.
//! - [`rejection`] has the table of refusals, [`Rejection`] describes one to outer layers.
//! - [`Observer`] receives the events of keys and requests. [`KeyRing::watch`] ends long-lived
//!   connections with their key.
//! - [`store::KeyStore`] is the port for records. [`store::MemoryStore`] is always there. The packages
//!   `tower-api-key-sqlite`, `tower-api-key-sqlite-sqlx`, `tower-api-key-postgres` and `tower-api-key-file` have stores,
//!   and `tower-api-key-contract` checks a store of your own.
//! - [Rotating keys without an outage](guide::rotating),
//!   [when a user's privilege changes](guide::privilege),
//!   [restricting a key to a network or a certificate](guide::restricting),
//!   [moving keys from elsewhere](guide::moving), [adopting a table of tokens](guide::table), [adopting this crate in a
//!   service with its own authentication](guide::adopting), [finding keys by their end or use](guide::reports) and
//!   [testing a service](guide::testing)
//!   are guides to the methods to call.
//!
//! # The life of a key
//!
//! A key's subject, realm, scopes, caveats and lifetime are fixed when it is issued. From then on its
//! authority can only shrink: nothing in this crate widens a key. Its label and its metadata are no
//! authority, and can be changed. A key expires after 90 days unless its
//! [`Grant`] says otherwise. Its grace period is the time after a rotation in which it and the new key
//! both work.
//!
//! | operation | the new secret | the old secret |
//! |---|---|---|
//! | [`issue`](KeyRing::issue) | the authority of the grant | – |
//! | [`rotate`](KeyRing::rotate) | the same authority | works until its grace period ends |
//! | [`rotate_now`](KeyRing::rotate_now) | the same authority | dead in the same commit |
//! | [`regrant`](KeyRing::regrant), [`promote`](KeyRing::promote) | the authority of the new grant | dead in the same commit |
//! | [`narrow`](KeyRing::narrow) | – | fewer scopes, more caveats |
//! | [`describe`](KeyRing::describe) | – | the same authority, another label, other metadata |
//! | [`revoke`](KeyRing::revoke), [`revoke_lineage`](KeyRing::revoke_lineage), [`revoke_subject`](KeyRing::revoke_subject) | – | dead, for good |
//!
//! A [`Caveat`] restricts a key to clients in a network, or with a certificate. One that this version does
//! not know refuses the key.
//!
//! So more privilege always means another secret: a key from before a login or a promotion never has the
//! rights that came after. All that came from one key by rotations and regrants is a lineage.
//!
//! The records of dead keys are kept, so that a replaced secret is recognised if it is used again. A
//! service that spawns [`KeyRing::upkeep`] removes them after the ring's
//! [retention](KeyRingBuilder::retention), 30 days by default. Without it they stay for ever.
//!
//! A key reads `{prefix}_{id:12}_{secret:26}{checksum:6}`. The id is public and fit for logs, so
//! that naming one proves nothing: see [`Event::claimed_key_id`]. [`KeyRing::scanner_pattern`]
//! finds such keys where they do not belong, and [`redact_keys`] takes them out of a text. With a prefix of at
//! most 9 characters a key is at most 55 bytes long, which SHA-256 takes in one step.
//!
//! # In a stack
//!
//! Layers that log a request's head stand outside, and see the key before this crate can hide
//! it: with tower-http, put `SetSensitiveRequestHeadersLayer::new([x_api_key])` outside
//! `TraceLayer`. A `CorsLayer` stands outside too, because preflights carry no key. A `TimeoutLayer`
//! outside bounds the whole request, the store's answer included. The ring bounds only the store's
//! answer, to [two seconds](KeyRingBuilder::lookup_timeout).
//!
//! A service that takes uploads puts a [`DrainLayer`] outside, so that its refusals arrive although
//! the body is not read.
//!
//! One layer accepts the keys of several rings: [`ApiKeyLayer::or`]. An [`ApiKeyLayer`] removes the
//! [`VerifiedKey`] of one further out: the innermost layer counts. A ring knows its keys by their prefix.
//! Give rings whose layers stand in one stack different prefixes, because a layer refuses a key of its
//! ring in a header that it does not read.
//!
//! # Features
//!
//! None is on by default.
//!
//! - `axum`: [`VerifiedKey`], `Option<VerifiedKey>` and `Principal` as extractors, `Authenticated` for services that
//!   authenticate in an extractor, routes with handlers and a
//!   [`RouteTable`] in one call ([`guard::routes`]), and keys in the part of a path that `Router::nest` strips
//!   are found.
//! - `metrics`: `KeyRingBuilder::metrics` counts outcomes, and measures look-ups, in the facade `metrics`.
//! - `openapi`: what a layer and its [`RouteTable`] enforce, in an OpenAPI document (module `openapi`).
//! - `replica`: the module `replica`, a copy of a database's keys in memory that can prove its age.
//! - `serde`: [`KeyView`], [`KeyRecordParts`], scopes, caveats, ids and realms serialise. A secret never does.
//! - `sql`: [`store`] has a module `sql`, rows and list statements for stores in SQL.
//! - `testing`: the module `testing` for the tests of a service, and `ManualClock`, which they move by hand.
//! - `tracing`: `TracingObserver` writes the events of rings and layers as structured events, and layers say in the span
//!   of a request who called (`ApiKeyLayer::span_fields`).

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub mod guide;
#[cfg(feature = "replica")]
pub mod replica;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;

mod access;
mod error;
mod key;
mod lifecycle;
mod middleware;
mod observe;
mod record;
mod ring;
mod support;
mod time;
mod verdict;

pub(crate) use error::text_type::{
    borrowed_text, compared_text, parsed_text, set_type, shown_text, text_type,
};
#[cfg(feature = "serde")]
pub(crate) use support::serde_text::serde_text;

#[doc(inline)]
pub use access::actor::Actor;
#[doc(inline)]
pub use access::caveat::{Caveat, CaveatKind, Caveats, CertificateThumbprint, Facts, Networks};
#[doc(inline)]
pub use access::client_network::ClientNetwork;
#[doc(inline)]
pub use access::escaped::Escaped;
#[doc(inline)]
pub use access::label::Label;
#[doc(inline)]
pub use access::metadata::Metadata;
#[doc(inline)]
pub use access::realm::Realm;
#[doc(inline)]
pub use access::requirement::{IntoRequirement, Requirement};
#[doc(inline)]
pub use access::subject::Subject;
#[doc(inline)]
pub use access::{scope::Scope, scope_set::ScopeSet};
#[doc(inline)]
pub use error::{Error, ErrorClass, ErrorKind};
#[doc(inline)]
pub use key::digest::KeyDigest;
#[doc(inline)]
pub use key::pepper::Pepper;
#[doc(inline)]
pub use key::secret::SecretKey;
#[doc(inline)]
pub use key::shape::{find_key, redact_keys};
#[doc(inline)]
pub use key::{KeyId, KeyPrefix};
#[doc(inline)]
pub use lifecycle::grant::Grant;
#[doc(inline)]
pub use lifecycle::request::{Import, Imported, OldKey};
#[doc(inline)]
pub use lifecycle::{Description, Narrowing};
#[doc(inline)]
pub use middleware::auth::{ApiKeyLayer, Authenticator, ResponseGuardLayer};
#[doc(inline)]
#[cfg(feature = "axum")]
pub use middleware::axum::Authenticated;
#[doc(inline)]
pub use middleware::body::ResponseBody;
#[doc(inline)]
pub use middleware::client::{ClientAddress, ClientCertificate, TrustedProxies};
#[doc(inline)]
pub use middleware::credential::source::Source;
#[doc(inline)]
pub use middleware::drain::DrainLayer;
#[doc(inline)]
pub use middleware::guard::routes::{Access, RouteTable};
#[doc(inline)]
pub use middleware::guard::{RequireKeyLayer, RequireScopeLayer};
#[doc(inline)]
#[cfg(feature = "openapi")]
pub use middleware::openapi;
#[doc(inline)]
#[cfg(feature = "axum")]
pub use middleware::principal::Principal;
#[doc(inline)]
pub use middleware::rejection::{Rejection, RejectionKind, StatusProfile};
#[doc(inline)]
pub use middleware::same_body::{SameBody, SameBodyFuture, SameBodyLayer};
#[doc(inline)]
#[cfg(feature = "tracing")]
pub use middleware::span::request_span;
#[doc(inline)]
pub use middleware::{auth, drain, guard, rejection};
#[doc(inline)]
pub use observe::event::{Event, EventKind};
#[doc(inline)]
#[cfg(feature = "metrics")]
pub use observe::metrics::MetricsObserver;
#[doc(inline)]
pub use observe::observer::Observer;
#[doc(inline)]
pub use observe::observer_fn::{ObserverFn, observer_fn};
#[doc(inline)]
#[cfg(feature = "tracing")]
pub use observe::span_fields::SpanFields;
#[doc(inline)]
#[cfg(feature = "tracing")]
pub use observe::tracing_observer::TracingObserver;
#[doc(inline)]
pub use record::{
    Gain, KeyRecord, KeyRecordParts, KeyState, KeyView, Revocation, RevocationReason,
};
#[doc(inline)]
pub use ring::answer::Answer;
#[doc(inline)]
pub use ring::owners::{Owner, OwnerAnswer, Owners};
#[doc(inline)]
pub use ring::report;
#[doc(inline)]
pub use ring::unknown_keys::UnknownKeys;
#[doc(inline)]
pub use ring::{Issued, KeyRing, KeyRingBuilder, Unannounced, Verifier, VerifierBuilder, Watch};
#[doc(inline)]
pub use support::span::Span;
#[doc(inline)]
#[cfg(feature = "testing")]
pub use time::ManualClock;
#[doc(inline)]
pub use time::{Clock, SystemClock, Timestamp};
#[doc(inline)]
pub use verdict::KeyPlace;
#[doc(inline)]
pub use verdict::{Caller, InvalidCause, VerifiedKey, VerifyError, VerifyErrorKind};
