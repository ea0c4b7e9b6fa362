//! Rule 27 and invariant 14: caveats only grow, one that is not known refuses, and no fact is up to the
//! client.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Extensions, Request};
use tower::Layer;
use tower_api_key::store::{KeyStore, MemoryStore};
use tower_api_key::{
    ApiKeyLayer, CaveatKind, CertificateThumbprint, ClientAddress, ClientCertificate, ErrorKind,
    EventKind, Facts, Grant, InvalidCause, Issued, KeyRing, ManualClock, Narrowing, RejectionKind,
    TrustedProxies, VerifyErrorKind, observer_fn,
};

use crate::stores::scripted_ring;
use crate::support::{Inner, ObservedStore, START, Whole, issue, request, ring, send};

const INSIDE: &str = "10.1.2.3";
const OUTSIDE: &str = "203.0.113.9";
const NET: &str = "net=10.0.0.0/8,2001:db8::/32";

fn ring_over(store: impl KeyStore) -> KeyRing {
    KeyRing::builder("acme")
        .realm("orders")
        .clock(ManualClock::new(START))
        .grantable_caveats(CaveatKind::ALL)
        .build(store)
        .unwrap()
}

async fn restricted(ring: &KeyRing, caveats: &[&str]) -> Issued {
    let grant = Grant::new("alice").scopes(["read", "write"]);
    ring.issue(grant.caveats(caveats)).await.unwrap()
}

fn from(address: &str) -> Facts {
    Facts::none().client_address(address.parse().unwrap())
}

async fn cause(ring: &KeyRing, issued: &Issued, facts: Facts) -> Option<InvalidCause> {
    let key = issued.secret().expose().as_bytes();
    match ring.verify_with(key, facts).await {
        Ok(_) => None,
        Err(error) => match error.kind() {
            VerifyErrorKind::Invalid(cause) => Some(cause),
            kind => panic!("{kind:?}"),
        },
    }
}

fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<SocketAddr>().map(SocketAddr::ip)
}

fn no_certificate() -> ClientCertificate {
    ClientCertificate::extension(|_| None)
}

/// A request with a key from this peer, with these headers.
fn from_peer(key: &Issued, address: &str, headers: &[(&'static str, &str)]) -> Request<()> {
    let key = [("x-api-key", key.secret().expose())];
    let mut request = request(key.into_iter().chain(headers.iter().copied()));
    if !address.is_empty() {
        let address: IpAddr = address.parse().unwrap();
        request
            .extensions_mut()
            .insert(SocketAddr::new(address, 4711));
    }
    request
}

#[track_caller]
fn assert_admitted(response: &Whole, expected: bool, seen: &str) {
    let kind = (!expected).then_some(RejectionKind::Invalid);
    assert_eq!(response.kind(), kind, "{seen}");
}

/// What holds of every store: the databases run it too.
pub(crate) async fn check(ring: &KeyRing) {
    let issued = restricted(ring, &[NET]).await;
    let (id, unmet) = (issued.id(), Some(InvalidCause::CaveatNotMet));
    assert_eq!(cause(ring, &issued, from(INSIDE)).await, None);
    assert_eq!(cause(ring, &issued, from("2001:db8::7")).await, None);
    assert_eq!(cause(ring, &issued, from("::ffff:10.1.2.3")).await, None);
    assert_eq!(cause(ring, &issued, from(OUTSIDE)).await, unmet);
    assert_eq!(
        cause(ring, &issued, from("::ffff:203.0.113.9")).await,
        unmet
    );
    assert_eq!(cause(ring, &issued, Facts::none()).await, unmet);

    // A rotation hands them on.
    let grace = Duration::from_mins(1);
    let rotated = ring.rotate(id, grace).await.unwrap();
    assert_eq!(rotated.record().caveats(), issued.record().caveats());
    assert_eq!(cause(ring, &rotated, from(OUTSIDE)).await, unmet);

    // A narrowing adds one to those that are there, and ends the key that is in its grace period.
    let narrowing = Narrowing::new().with_caveats(["net=10.1.0.0/16"]);
    let narrowed = ring.narrow(rotated.id(), narrowing.clone()).await.unwrap();
    assert_eq!(
        narrowed.caveats().as_str(),
        "net=10.0.0.0/8,2001:db8::/32 net=10.1.0.0/16"
    );
    assert_eq!(narrowed.scopes(), rotated.record().scopes());
    assert_eq!(cause(ring, &rotated, from(INSIDE)).await, None);
    assert_eq!(cause(ring, &rotated, from("10.2.2.3")).await, unmet);
    assert_eq!(cause(ring, &rotated, from("2001:db8::7")).await, unmet);
    let dead = cause(ring, &issued, from(INSIDE)).await;
    assert_eq!(dead, Some(InvalidCause::Revoked));
    let again = ring.narrow(rotated.id(), narrowing).await.unwrap();
    assert_eq!(again.version(), narrowed.version());

    // Fewer scopes leave the caveats alone.
    let fewer = "read".parse().unwrap();
    let fewer = ring.narrow(rotated.id(), &fewer).await.unwrap();
    assert_eq!(fewer.caveats(), narrowed.caveats());

    let thumbprint = CertificateThumbprint::of_der(b"certificate");
    let bound = restricted(ring, &[&format!("cnf=x5t#S256:{thumbprint}"), NET]).await;
    let shown = Facts::none().client_certificate(thumbprint);
    let other = CertificateThumbprint::of_der(b"another");
    let inside = |facts: Facts| facts.client_address(INSIDE.parse().unwrap());
    assert_eq!(cause(ring, &bound, inside(shown)).await, None);
    assert_eq!(cause(ring, &bound, shown).await, unmet);
    assert_eq!(cause(ring, &bound, from(INSIDE)).await, unmet);
    let facts = inside(Facts::none().client_certificate(other));
    assert_eq!(cause(ring, &bound, facts).await, unmet);
}

/// A key whose caveats a newer version of the crate has written.
pub(crate) async fn check_newer(ring: &KeyRing, issued: &Issued) {
    let unknown = Some(InvalidCause::UnknownCaveat);
    assert_eq!(cause(ring, issued, from(INSIDE)).await, unknown);
    assert_eq!(cause(ring, issued, Facts::none()).await, unknown);
    let record = ring.get(issued.id()).await.unwrap().unwrap();
    assert_eq!(
        record.caveats().unknown().collect::<Vec<_>>(),
        ["moon=full"]
    );
    // It rotates and is narrowed as any other, and stays what it is.
    let rotated = ring.rotate_now(issued.id()).await.unwrap();
    assert_eq!(rotated.record().caveats(), record.caveats());
    let narrowing = Narrowing::new().with_caveats([NET]);
    ring.narrow(rotated.id(), narrowing).await.unwrap();
    assert_eq!(cause(ring, &rotated, from(INSIDE)).await, unknown);
}

#[tokio::test]
async fn invariant_14_a_key_keeps_its_caveats_in_memory() {
    check(&ring_over(MemoryStore::new())).await;
    check(&ring_over(ObservedStore::new().answering_later())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_14_a_key_keeps_its_caveats_in_sqlite() {
    let folder = crate::folder::Folder::new();
    let path = folder.keys();
    let store = tower_api_key_sqlite::SqliteStore::open(&path).unwrap();
    let ring = ring_over(store);
    check(&ring).await;
    let issued = restricted(&ring, &[]).await;
    let connection = rusqlite::Connection::open(&path).unwrap();
    let set = "UPDATE api_keys SET caveats = 'moon=full', version = version + 1 WHERE id = ?1";
    assert_eq!(connection.execute(set, [issued.id().as_str()]), Ok(1));
    check_newer(&ring, &issued).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_14_a_key_keeps_its_caveats_in_postgres() {
    let url = crate::pg_server::database().await;
    let store = tower_api_key_postgres::PostgresStore::connect(&url).await;
    let ring = ring_over(store.unwrap());
    check(&ring).await;
    let issued = restricted(&ring, &[]).await;
    let id = issued.id();
    let set = format!(
        "UPDATE tower_api_keys SET caveats = 'moon=full', version = version + 1 WHERE id = '{id}'"
    );
    assert_eq!(crate::pg_server::execute(&url, &set).await.unwrap(), 1);
    check_newer(&ring, &issued).await;
}

#[tokio::test]
async fn r27_a_caveat_of_a_newer_version_refuses_the_key_and_the_observer_listener_of_it() {
    let (ring, _, store) = scripted_ring();
    let issued = issue(&ring, "read").await;
    store.edit(issued.id(), |parts| {
        parts.caveats = "moon=full".parse().unwrap();
    });
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&heard);
    let inner = Inner::new();
    let service = ApiKeyLayer::new(ring)
        .client_address(ClientAddress::peer(peer))
        .observer(observer_fn(move |event| {
            listener
                .lock()
                .unwrap()
                .push((event.kind(), event.key_id()));
        }))
        .layer(inner.clone());
    let response = send(&service, from_peer(&issued, INSIDE, &[])).await;
    assert_admitted(&response, false, "an unknown caveat");
    assert_eq!(inner.calls(), 0);
    let rejected = EventKind::Rejected {
        kind: RejectionKind::Invalid,
        cause: Some(InvalidCause::UnknownCaveat),
    };
    assert_eq!(*heard.lock().unwrap(), [(rejected, Some(issued.id()))]);
}

#[tokio::test]
async fn r27_the_peer_of_the_connection_counts() {
    let ring = ring_over(MemoryStore::new());
    let key = restricted(&ring, &[NET]).await;
    let inner = Inner::new();
    let service = ApiKeyLayer::new(ring)
        .client_address(ClientAddress::peer(peer))
        .client_certificate(no_certificate())
        .layer(inner.clone());
    let spoofed = [
        ("x-forwarded-for", INSIDE),
        ("forwarded", "for=10.1.2.3"),
        ("x-real-ip", INSIDE),
    ];
    for (address, headers, admitted) in [
        (INSIDE, &[][..], true),
        (OUTSIDE, &[], false),
        (OUTSIDE, &spoofed, false),
        ("", &spoofed, false),
    ] {
        let response = send(&service, from_peer(&key, address, headers)).await;
        assert_admitted(&response, admitted, &format!("{address} {headers:?}"));
    }
    assert_eq!(inner.calls(), 1);
}

/// One proxy, 192.0.2.1, appends the address of its peer.
#[tokio::test]
async fn r27_behind_a_proxy_the_address_that_it_appended_counts() {
    let ring = ring_over(MemoryStore::new());
    let key = restricted(&ring, &[NET]).await;
    let x_forwarded_for = TrustedProxies::x_forwarded_for(["192.0.2.0/28"]).unwrap();
    let forwarded = TrustedProxies::forwarded(["192.0.2.0/28"]).unwrap();
    for (proxies, name, inside, outside) in [
        (x_forwarded_for, "x-forwarded-for", INSIDE, OUTSIDE),
        (forwarded, "forwarded", "for=10.1.2.3", "for=203.0.113.9"),
    ] {
        let service = ApiKeyLayer::new(ring.clone())
            .client_address(ClientAddress::peer(peer).behind(proxies))
            .client_certificate(no_certificate())
            .layer(Inner::new());
        let leftmost_inside = format!("{inside}, {outside}");
        let leftmost_outside = format!("{outside}, {inside}");
        for (address, headers, admitted) in [
            ("192.0.2.1", &[(name, inside)][..], true),
            ("192.0.2.1", &[(name, outside)], false),
            // A client sends what it likes. The proxy appends the truth, to the line or as another.
            ("192.0.2.1", &[(name, &leftmost_inside)], false),
            ("192.0.2.1", &[(name, inside), (name, outside)], false),
            ("192.0.2.1", &[(name, &leftmost_outside)], true),
            ("192.0.2.1", &[(name, outside), (name, inside)], true),
            ("192.0.2.1", &[], false),
            // From anywhere else the header counts for nothing.
            ("203.0.113.7", &[(name, inside)], false),
            (INSIDE, &[(name, outside)], true),
            ("", &[(name, inside)], false),
        ] {
            let response = send(&service, from_peer(&key, address, headers)).await;
            assert_admitted(&response, admitted, &format!("{address} {headers:?}"));
        }
    }
}

#[tokio::test]
async fn r27_a_certificate_counts_from_the_tls_layer_or_a_named_proxy() {
    #[derive(Clone)]
    struct Shown(&'static [u8]);

    let ring = ring_over(MemoryStore::new());
    let thumbprint = CertificateThumbprint::of_der(b"certificate");
    let key = restricted(&ring, &[&format!("cnf=x5t#S256:{thumbprint}")]).await;
    let layer = ApiKeyLayer::new(ring).client_address(ClientAddress::peer(peer));

    let direct = ClientCertificate::extension(|extensions| {
        let Shown(der) = extensions.get()?;
        Some(CertificateThumbprint::of_der(der))
    });
    let service = layer.clone().client_certificate(direct).layer(Inner::new());
    let header = format!(":{}:", STANDARD.encode(b"certificate"));
    for (shown, headers, admitted) in [
        (Some(Shown(b"certificate")), &[][..], true),
        (Some(Shown(b"another")), &[], false),
        (Some(Shown(b"another")), &[("client-cert", &*header)], false),
        (None, &[("client-cert", &*header)], false),
    ] {
        let mut request = from_peer(&key, "192.0.2.1", headers);
        request
            .extensions_mut()
            .extend(shown.map_or_else(Extensions::new, |shown| {
                let mut extensions = Extensions::new();
                extensions.insert(shown);
                extensions
            }));
        assert_admitted(
            &send(&service, request).await,
            admitted,
            &format!("{headers:?}"),
        );
    }

    let proxied = ClientCertificate::from_proxy(peer, ["192.0.2.0/28"]).unwrap();
    let service = layer.client_certificate(proxied).layer(Inner::new());
    let another = format!(":{}:", STANDARD.encode(b"another"));
    let bare = STANDARD.encode(b"certificate");
    let with_parameter = format!("{header};a=b");
    for (address, values, admitted) in [
        ("192.0.2.1", &[&*header][..], true),
        ("192.0.2.1", &[&*another], false),
        ("192.0.2.1", &[&*header, &*header], false),
        ("192.0.2.1", &[&*bare], false),
        ("192.0.2.1", &[&*with_parameter], false),
        ("192.0.2.1", &["::"], false),
        ("192.0.2.1", &[":!:"], false),
        ("192.0.2.1", &[], false),
        (OUTSIDE, &[&*header], false),
        ("", &[&*header], false),
    ] {
        let headers: Vec<_> = values.iter().map(|value| ("client-cert", *value)).collect();
        let response = send(&service, from_peer(&key, address, &headers)).await;
        assert_admitted(&response, admitted, &format!("{address} {headers:?}"));
    }
}

/// A key with a caveat for which the layer has no source is refused, whichever ring granted it.
#[tokio::test]
async fn r27_a_layer_without_a_source_refuses_the_key() {
    let store = MemoryStore::new();
    let granting = ring_over(store.clone());
    let key = restricted(&granting, &[NET]).await;
    let serving = KeyRing::builder("acme")
        .realm("orders")
        .clock(ManualClock::new(START))
        .build(store)
        .unwrap();
    let service = ApiKeyLayer::new(serving).layer(Inner::new());
    let response = send(&service, from_peer(&key, INSIDE, &[])).await;
    assert_admitted(&response, false, "no source");
}

#[test]
#[should_panic(
    expected = "the ring grants the caveat net, and this ApiKeyLayer cannot check it: call \
                           client_address on the layer"
)]
fn r27_a_ring_that_grants_net_does_not_build_over_a_layer_without_addresses() {
    let layer = ApiKeyLayer::new(ring_over(MemoryStore::new()));
    let _ = layer
        .client_certificate(no_certificate())
        .layer(Inner::new());
}

#[test]
#[should_panic(expected = "call client_certificate on the layer")]
fn r27_a_ring_that_grants_cnf_does_not_build_over_a_layer_without_certificates() {
    let layer = ApiKeyLayer::new(ring_over(MemoryStore::new()));
    let _ = layer
        .client_address(ClientAddress::peer(peer))
        .layer(Inner::new());
}

#[tokio::test]
async fn r27_a_ring_grants_and_adds_only_the_caveats_that_it_names() {
    let plain = ring();
    let grant = Grant::new("alice").scopes(["read"]);
    let error = plain.issue(grant.clone().caveats([NET])).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CaveatNotGrantable);
    assert_eq!(
        error.to_string(),
        "caveat not grantable: this ring does not grant net; name it in grantable_caveats if every \
         layer over the ring checks it"
    );
    let issued = plain.issue(grant.clone()).await.unwrap();
    let narrowing = Narrowing::new().with_caveats([NET]);
    let error = plain.narrow(issued.id(), narrowing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CaveatNotGrantable);

    // One that no version is known to enforce is not granted at all.
    for text in ["moon=full", "net", "net=", "net=10.0.0.1/8", "cnf=jkt:abc"] {
        let refused = plain.issue(grant.clone().caveats([text])).await;
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidCaveat, "{text}");
    }
    let ring = ring_over(MemoryStore::new());
    let unknown = grant.clone().caveats("moon=full");
    let error = ring.issue(unknown).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidCaveat);
}

/// A regrant is another authority under another secret. Its caveats are those of its own grant.
#[tokio::test]
async fn a_regrant_has_the_caveats_of_its_grant() {
    let ring = ring_over(MemoryStore::new());
    let issued = restricted(&ring, &[NET]).await;
    let grant = Grant::new("alice").scopes(["read"]);
    let new = ring.regrant(issued.id(), grant).await.unwrap();
    assert!(new.record().caveats().is_empty());
    assert_eq!(cause(&ring, &new, Facts::none()).await, None);
    let old = cause(&ring, &issued, from(INSIDE)).await;
    assert_eq!(old, Some(InvalidCause::Replaced));
}

/// A use counts if the key was accepted.
#[tokio::test]
async fn a_refused_use_is_no_use() {
    let ring = KeyRing::builder("acme")
        .clock(ManualClock::new(START))
        .grantable_caveats([CaveatKind::Net])
        .track_last_use()
        .build(MemoryStore::new())
        .unwrap();
    let issued = restricted(&ring, &[NET]).await;
    cause(&ring, &issued, from(OUTSIDE)).await.unwrap();
    ring.record_uses().await.unwrap();
    assert_eq!(ring.last_used(issued.id()).await.unwrap(), None);
    assert_eq!(cause(&ring, &issued, from(INSIDE)).await, None);
    ring.record_uses().await.unwrap();
    assert_eq!(ring.last_used(issued.id()).await.unwrap(), Some(START));
}
