//! What the layer allocates, counted: on a valid key nothing beyond what `http::Extensions` and
//! the response's two headers need, and on a refusal the response.
//!
//! It is a test binary of its own, because the counting allocator is that of the whole program.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, in its helpers too"
)]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use allocation_counter::measure;
use bytes::Bytes;
use crc::{CRC_32_ISO_HDLC, Crc};
use http::header::{CACHE_CONTROL, VARY};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, Service};
use tower_api_key::store::{Freshness, Index, MemoryStore};
use tower_api_key::{
    ApiKeyLayer, ClientAddress, Grant, InvalidCause, KeyDigest, KeyRecord, KeyRecordParts, KeyRing,
    Realm, Rejection, Source, Timestamp, VerifiedKey, observer_fn,
};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// An inner service that allocates nothing.
#[derive(Clone)]
struct Inner;

impl Service<Request<()>> for Inner {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        drop(black_box(request));
        ready(Ok(Response::new(Full::from("inner"))))
    }
}

struct Fixture {
    ring: KeyRing,
    key: String,
    unknown: String,
    verified: VerifiedKey,
}

fn fixture() -> Fixture {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(async {
            let ring = || {
                KeyRing::builder("acme")
                    .realm("orders")
                    .build(MemoryStore::new())
                    .unwrap()
            };
            let mint = async |ring: &KeyRing| {
                let grant = Grant::new("alice").scopes(["read"]);
                let issued = ring.issue(grant).await.unwrap();
                issued.secret().expose().to_owned()
            };
            let (ring, elsewhere) = (ring(), ring());
            let key = mint(&ring).await;
            Fixture {
                unknown: mint(&elsewhere).await,
                verified: ring.verify(key.as_bytes()).await.unwrap(),
                key,
                ring,
            }
        })
}

fn request(headers: &[(HeaderName, &str)]) -> Request<()> {
    let mut request = Request::new(());
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).unwrap();
        request.headers_mut().append(name, value);
    }
    request
}

/// How many allocations one request costs, from the call to the dropped response.
///
/// The first requests are not counted: they fill what the store and the thread keep for later
/// ones. All others must cost the same.
fn allocations<S, ResBody>(
    mut service: S,
    headers: &[(HeaderName, &str)],
    status: StatusCode,
) -> u64
where
    S: Service<Request<()>, Response = Response<ResBody>, Error = Infallible>,
{
    let counts: Vec<u64> = (0..64)
        .map(|_| {
            let request = request(headers);
            let mut answered = None;
            let counted = measure(|| {
                let mut context = Context::from_waker(Waker::noop());
                assert!(service.poll_ready(&mut context).is_ready());
                let mut response = pin!(service.call(request));
                let Poll::Ready(Ok(response)) = response.as_mut().poll(&mut context) else {
                    panic!("the memory store answers at once");
                };
                answered = Some(response.status());
                drop(black_box(response));
            });
            assert_eq!(answered, Some(status));
            counted.count_total
        })
        .skip(32)
        .collect();
    assert!(
        counts.iter().all(|count| *count == counts[0]),
        "requests differ: {counts:?}"
    );
    counts[0]
}

/// What `http::Extensions` needs to take a proof.
fn extension(verified: &VerifiedKey) -> u64 {
    let mut verified = Some(verified.clone());
    let counted = measure(|| {
        let mut extensions = Extensions::new();
        extensions.insert(verified.take().unwrap());
        drop(black_box(extensions));
    });
    counted.count_total
}

/// What a response without headers needs to take the guard's two.
fn guard_headers() -> u64 {
    let counted = measure(|| {
        let mut headers = HeaderMap::new();
        headers.append(VARY, HeaderValue::from(X_API_KEY));
        headers
            .entry(CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("private"));
        drop(black_box(headers));
    });
    counted.count_total
}

#[test]
fn a_valid_key_costs_the_extension_and_the_two_headers() {
    let Fixture {
        ring,
        key,
        verified,
        ..
    } = fixture();
    let headers = [(X_API_KEY, key.as_str())];
    let bare = allocations(Inner, &headers, StatusCode::OK);
    let needed = extension(&verified) + guard_headers();
    assert_eq!((bare, extension(&verified), guard_headers()), (0, 3, 2));

    let layer = ApiKeyLayer::new(ring);
    let counted = allocations(layer.layer(Inner), &headers, StatusCode::OK);
    assert_eq!(counted, bare + needed);
    let counted = allocations(
        layer.clone().require("read").layer(Inner),
        &headers,
        StatusCode::OK,
    );
    assert_eq!(counted, bare + needed, "with a required scope");
    let guarded = layer.layer(tower_api_key::RequireScopeLayer::new("read").layer(Inner));
    let counted = allocations(guarded, &headers, StatusCode::OK);
    assert_eq!(counted, bare + needed, "with a guard of its own");
    let counted = allocations(
        layer.forward_credential().layer(Inner),
        &headers,
        StatusCode::OK,
    );
    assert_eq!(counted, bare + needed, "with the credential forwarded");
}

/// A request whose scopes and network are marked already writes nothing.
#[test]
fn a_ring_that_tracks_what_keys_are_used_for_adds_no_allocation() {
    let Fixture { verified, .. } = fixture();
    let ring = KeyRing::builder("acme")
        .track_scope_use()
        .track_networks()
        .build(MemoryStore::new())
        .unwrap();
    let issued = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(ring.issue(Grant::new("alice").scopes(["read"])))
        .unwrap();
    let address = |_: &Extensions| Some(std::net::Ipv4Addr::LOCALHOST.into());
    let layer = ApiKeyLayer::new(ring)
        .client_address(ClientAddress::peer(address))
        .require("read");
    let headers = [(X_API_KEY, issued.secret().expose())];
    let counted = allocations(layer.layer(Inner), &headers, StatusCode::OK);
    assert_eq!(counted, extension(&verified) + guard_headers());
}

#[test]
fn an_observer_adds_no_allocation() {
    let Fixture {
        ring,
        key,
        verified,
        ..
    } = fixture();
    let layer = ApiKeyLayer::new(ring)
        .require("read")
        .observer(observer_fn(|_| {}));
    let headers = [(X_API_KEY, key.as_str())];
    let counted = allocations(layer.layer(Inner), &headers, StatusCode::OK);
    assert_eq!(counted, extension(&verified) + guard_headers());
    let counted = allocations(layer.layer(Inner), &[], StatusCode::UNAUTHORIZED);
    assert_eq!(counted, 5, "missing");
}

#[test]
fn a_valid_key_without_response_headers_costs_the_extension() {
    let Fixture {
        ring,
        key,
        verified,
        ..
    } = fixture();
    let layer = ApiKeyLayer::new(ring).danger_without_cache_guard();
    let headers = [(X_API_KEY, key.as_str())];
    let counted = allocations(layer.layer(Inner), &headers, StatusCode::OK);
    assert_eq!(counted, extension(&verified));
}

#[test]
fn every_set_of_carriers_costs_the_same_two_headers() {
    let Fixture {
        ring,
        key,
        verified,
        ..
    } = fixture();
    let bearer = format!("Bearer {key}");
    let own = || Source::header(X_API_KEY).unwrap();
    let at_run_time = HeaderName::from_bytes(b"x-from-settings").unwrap();
    for sources in [
        vec![Source::bearer()],
        vec![own(), Source::bearer(), Source::api_key()],
        vec![
            Source::header(at_run_time).unwrap(),
            own(),
            Source::bearer(),
        ],
    ] {
        let layer = ApiKeyLayer::new(ring.clone()).sources(sources.clone());
        let headers = [(http::header::AUTHORIZATION, bearer.as_str())];
        let counted = allocations(layer.layer(Inner), &headers, StatusCode::OK);
        assert_eq!(
            counted,
            extension(&verified) + guard_headers(),
            "{sources:?}"
        );
        let layer = layer.optional();
        let counted = allocations(layer.layer(Inner), &[], StatusCode::OK);
        // The marker of an anonymous request, and one header.
        assert_eq!(
            counted,
            extension(&verified) + guard_headers(),
            "{sources:?}"
        );
    }
}

/// 65 000 keys fill 99 % of a table of 2^16 places. A search in vain is long in such a table, so the index has grown out of it, and nothing
/// is left of the smaller ones (rule 23).
#[test]
fn r23_an_index_keeps_one_table_and_that_is_not_full() {
    const KEYS: u32 = 65_000;
    const RECORD: i64 = 136;
    const ENTRY: i64 = 8;
    const PLACES: i64 = 1 << 17;

    let index = Index::new(Freshness::always());
    let realm = Realm::new("acme").unwrap();
    let counted = measure(|| {
        for number in 0..KEYS {
            let id = format!("{number:012}");
            let digest = KeyDigest::sha256(id.as_bytes());
            let (id, subject) = (id.parse().unwrap(), "alice".parse().unwrap());
            let issued_at = Timestamp::from_unix(1_800_000_000);
            let parts = KeyRecordParts::new(id, realm.clone(), digest, subject, issued_at);
            index.put(KeyRecord::from(parts));
        }
    });
    let of_keys = i64::from(KEYS) * (RECORD + ENTRY);
    let of_table = counted.bytes_current - of_keys;
    // A place has a pointer and a byte.
    let rest = of_table - PLACES * 9;
    assert!((0..16_384).contains(&rest), "{of_table} bytes");
}

/// Keys that are well formed and that nobody has: each is forgotten with its response (rule 23).
#[test]
fn r23_a_flood_of_unknown_keys_leaves_nothing_behind() {
    let keys: u32 = std::env::var("FLOOD").map_or(20_000, |count| count.parse().unwrap());
    let Fixture { ring, unknown, .. } = fixture();
    let mut service = ApiKeyLayer::new(ring).layer(Inner);
    let mut flood = |keys: u32, first: u32| {
        measure(|| {
            let mut context = Context::from_waker(Waker::noop());
            for number in first..first + keys {
                let key = well_formed(&unknown, number);
                let request = request(&[(X_API_KEY, key.as_str())]);
                assert!(service.poll_ready(&mut context).is_ready());
                let mut response = pin!(service.call(request));
                let Poll::Ready(Ok(response)) = response.as_mut().poll(&mut context) else {
                    panic!("the memory store answers at once");
                };
                let rejection = response.extensions().get::<Rejection>().unwrap();
                assert_eq!(rejection.cause(), Some(InvalidCause::Unknown), "{key}");
            }
        })
    };
    // What the store and the thread keep for later requests.
    flood(64, 0);
    let counted = flood(keys, 64);
    assert_eq!((counted.count_current, counted.bytes_current), (0, 0));
    // At any time there was one request's, however many came before.
    assert!(counted.bytes_max < 4_096, "{} bytes", counted.bytes_max);
}

/// A key with another id and the checksum that goes with it.
fn well_formed(key: &str, number: u32) -> String {
    let body = &key[..key.len() - 6];
    let (prefix, rest) = body.split_at("acme_".len());
    let body = format!("{prefix}{number:012}{}", &rest[12..]);
    let mut sum = Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(body.as_bytes());
    let mut digits = [0; 6];
    for digit in digits.iter_mut().rev() {
        *digit =
            b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[(sum % 62) as usize];
        sum /= 62;
    }
    format!("{body}{}", std::str::from_utf8(&digits).unwrap())
}

#[test]
fn a_refusal_costs_its_response() {
    let Fixture {
        ring, key, unknown, ..
    } = fixture();
    let service = ApiKeyLayer::new(ring).require("write").layer(Inner);
    let key = key.as_str();
    let unauthorized = StatusCode::UNAUTHORIZED;
    // Three for the rejection in the extensions, two for the headers, and two for a challenge that
    // names the scopes.
    for (name, headers, status, expected) in [
        ("missing", vec![], unauthorized, 5),
        ("malformed", vec![(X_API_KEY, "nonsense")], unauthorized, 5),
        (
            "unknown",
            vec![(X_API_KEY, unknown.as_str())],
            unauthorized,
            5,
        ),
        (
            "lacking a scope",
            vec![(X_API_KEY, key)],
            StatusCode::FORBIDDEN,
            7,
        ),
        (
            "ambiguous",
            vec![(X_API_KEY, key), (X_API_KEY, key)],
            StatusCode::BAD_REQUEST,
            5,
        ),
    ] {
        let counted = allocations(service.clone(), &headers, status);
        assert_eq!(counted, expected, "{name}");
    }
}
