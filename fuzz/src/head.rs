//! Nobody gets in without the key.

use std::cell::Cell;
use std::convert::Infallible;
use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use tower::util::{BoxCloneSyncService, option_layer};
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::store::{MemoryStore, TableKey};
use tower_api_key::{
    ApiKeyLayer, Authenticator, Grant, KeyDigest, KeyId, KeyRing, Owner, RequireKeyLayer,
    ResponseBody, RevocationReason, SameBodyLayer, Source, Subject, Timestamp, VerifiedKey,
    Verifier,
};

use crate::{at_once, contains, filled, key};

struct World {
    /// A key of the ring, one that is revoked, and one of another realm.
    keys: [String; 3],
    modes: Vec<Mode>,
}

/// A layer.
struct Mode {
    reading: Reading,
    optional: bool,
    keys: Keys,
    authenticator: Authenticator,
    /// The layer over a handler that counts its calls.
    stack: Stack<ResponseBody<Empty<Bytes>>>,
    /// The same layer, which hands its refusals on to a guard.
    guarded: Stack<GuardedBody>,
    /// The same layer, if a setting switches it on.
    switched: Stack<Full<Bytes>>,
}

type Stack<B> = BoxCloneSyncService<Request<Empty<Bytes>>, Response<B>, Infallible>;
type GuardedBody = ResponseBody<ResponseBody<Empty<Bytes>>>;

/// What a layer asks for its keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// A ring.
    Ring,
    /// A ring that asks for the owner of a key.
    Owned,
    /// The rows of a table, which have no shape by which a key in a wrong place is known.
    Table,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let store = MemoryStore::new();
    let ring = |realm| {
        let ring = KeyRing::builder("acme").realm(realm);
        ring.build(store.clone()).unwrap()
    };
    let (ring, other) = (ring("orders"), ring("stock"));
    let dead = at_once(ring.issue(Grant::new("bob"))).unwrap();
    at_once(ring.revoke(dead.id(), RevocationReason::KeyCompromise)).unwrap();
    let keys = [
        key(&ring, Grant::new("alice")),
        dead.secret().expose().to_owned(),
        key(&other, Grant::new("carol")),
    ];
    let owned = KeyRing::builder("acme").realm("orders");
    let owned =
        owned.owners(async |owner: Subject| Ok((owner == "alice").then(Owner::unrestricted)));
    let owned = owned.build(store.clone()).unwrap();
    let verifiers = [
        (Keys::Ring, Verifier::from(ring)),
        (Keys::Owned, owned.into()),
        (Keys::Table, table(&keys)),
    ];
    let readings = [Reading::Bearer, Reading::TokenOrRaw].map(|it| [(it, false), (it, true)]);
    let mut modes = Vec::new();
    for (keys, verifier) in verifiers {
        // What the others change is behind the reading.
        let some = if keys == Keys::Ring { 0.. } else { 2.. };
        for (reading, optional) in &readings.as_flattened()[some] {
            let layer = ApiKeyLayer::new(verifier.clone()).sources(reading.sources());
            let layer = if *optional { layer.optional() } else { layer };
            // Nothing completes a response of the authenticator here.
            let authenticator = layer.clone().danger_without_cache_guard().authenticator();
            let lenient = layer.clone().allow_missing_or_failed();
            let switched = option_layer(Some(SameBodyLayer::new(layer.clone())));
            modes.push(Mode {
                reading: *reading,
                optional: *optional,
                keys,
                authenticator,
                guarded: BoxCloneSyncService::new(
                    lenient.layer(RequireKeyLayer::new().layer(service_fn(proven))),
                ),
                switched: BoxCloneSyncService::new(switched.layer(service_fn(proven))),
                stack: BoxCloneSyncService::new(layer.layer(service_fn(counting))),
            });
        }
    }
    World { keys, modes }
});

/// A table with the keys, in which the second is revoked. It does not have that of the other realm.
fn table([valid, dead, _]: &[String; 3]) -> Verifier {
    let digest = |key: &String| KeyDigest::sha256(key.as_bytes());
    let (valid, dead) = (digest(valid), digest(dead));
    let row = |digest, owner| TableKey::new(KeyId::from_digest(&digest), digest, owner);
    let rows = [
        row(valid, "alice"),
        row(dead, "bob").revoked_at(Timestamp::from_unix(1)),
    ];
    let table = move |asked: KeyDigest| {
        let place = [valid, dead].iter().position(|digest| *digest == asked);
        let found = place.map(|place| rows[place].clone());
        async move { Ok(found) }
    };
    Verifier::builder("orders").build(table).unwrap()
}

thread_local! {
    /// How often the inner service was called for this request, and whether it saw a proof.
    static CALLS: Cell<(usize, bool)> = const { Cell::new((0, false)) };
}

/// The head of a request, through the whole layer: a line with the method and the target, and a line for each header.
/// In it `$KEY` is a valid key, `$DEAD` a revoked one and `$OTHER` one of another realm.
///
/// The inner service is called if and only if the request has exactly one credential, and that is the key, byte by
/// byte; no response has a key in it.
///
/// # Panics
///
/// If that does not hold.
pub fn head(input: &[u8]) {
    let [valid, dead, other] = &WORLD.keys;
    let places = [("$KEY", valid), ("$DEAD", dead), ("$OTHER", other)];
    let places = places.map(|(place, key)| (place, key.as_str()));
    let input = filled(input, &places);
    let mut lines = input.split(|byte| *byte == b'\n');
    let Some((uri, method)) = lines.next().and_then(first_line) else {
        return;
    };
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let value = line[colon + 1..]
            .strip_prefix(b" ")
            .unwrap_or(&line[colon + 1..]);
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    let in_uri = contains(uri.to_string().as_bytes(), valid);

    for mode in &WORLD.modes {
        let (reading, optional) = (mode.reading, mode.optional);
        let presents = reading.presents(&headers, valid);
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = uri.clone();
        *request.method_mut() = method.clone();
        *request.headers_mut() = headers.clone();
        let sent = request.clone();
        let called = call(mode, request.clone());
        let (status, calls, proven) = answer(&mode.stack, request);
        assert_eq!(called, (status, proven), "a call decides as the layer does");
        // An optional layer lets a request without a key pass, which the handlers of the others do not expect.
        if !optional {
            let Ok(guarded) = at_once(mode.guarded.clone().oneshot(sent.clone()));
            assert_eq!(
                guarded.status(),
                status,
                "a guard refuses what is handed on"
            );
            let Ok(switched) = at_once(mode.switched.clone().oneshot(sent));
            assert_eq!(switched.status(), status, "the body makes no difference");
        }

        let accepted = status == StatusCode::OK;
        assert_eq!(calls, usize::from(accepted), "{status}");
        assert!(
            !proven || (presents && (!in_uri || mode.keys == Keys::Table)),
            "nobody gets in without the key"
        );
        assert!(proven || !accepted || (optional && !presents), "{status}");
        let refused = [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED];
        assert!(accepted || refused.contains(&status), "{status}");
    }
}

fn first_line(line: &[u8]) -> Option<(http::Uri, http::Method)> {
    let space = line.iter().position(|byte| *byte == b' ')?;
    let uri = http::Uri::try_from(&line[space + 1..]).ok()?;
    Some((uri, http::Method::from_bytes(&line[..space]).ok()?))
}

/// What the layer reads of `Authorization`, in addition to `x-api-key`.
#[derive(Clone, Copy)]
enum Reading {
    Bearer,
    /// The scheme `Token`, and a key without a scheme.
    TokenOrRaw,
}

impl Reading {
    fn sources(self) -> Vec<Source> {
        let header = Source::header(HeaderName::from_static("x-api-key")).unwrap();
        match self {
            Self::Bearer => vec![header, Source::bearer()],
            Self::TokenOrRaw => {
                let token = Source::scheme("Token").unwrap();
                vec![header, token, Source::authorization_raw()]
            }
        }
    }

    /// The token in an `Authorization` that is for the layer. Another character of a name would be a part of the scheme.
    fn token(self, value: &[u8]) -> Option<&[u8]> {
        let name = match self {
            Self::Bearer => "bearer",
            Self::TokenOrRaw => "token",
        };
        let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let with_scheme = value.split_at_checked(name.len()).filter(|(scheme, rest)| {
            scheme.eq_ignore_ascii_case(name.as_bytes()) && !rest.first().is_some_and(in_name)
        });
        match (with_scheme, self) {
            (Some((_, rest)), _) => Some(rest.trim_ascii_start()),
            (None, Self::TokenOrRaw) => Some(value),
            (None, Self::Bearer) => None,
        }
    }

    /// Whether one header alone presents a credential, and that is this key.
    fn presents(self, headers: &HeaderMap, key: &str) -> bool {
        let mut carried = headers.iter().filter(|(name, value)| {
            let is_read = *name == "authorization" && self.token(value.as_bytes()).is_some();
            name.as_str().replace('_', "-") == "x-api-key" || is_read
        });
        let (Some((name, value)), None) = (carried.next(), carried.next()) else {
            return false;
        };
        let value = value.as_bytes();
        match name.as_str() {
            "x-api-key" => value == key.as_bytes(),
            "authorization" => self.token(value) == Some(key.as_bytes()) && !value.contains(&b'\t'),
            _ => false,
        }
    }
}

/// The decision of the layer as a call: the status, and whether there is a proof.
fn call(mode: &Mode, request: Request<Empty<Bytes>>) -> (StatusCode, bool) {
    let mut parts = request.into_parts().0;
    let decided = at_once(mode.authenticator.authenticate_if_presented(&mut parts));
    for (name, value) in &parts.headers {
        let is_read = match name.as_str() {
            "x-api-key" => true,
            // A key of a ring is known under any scheme.
            "authorization" => {
                mode.keys != Keys::Table || mode.reading.token(value.as_bytes()).is_some()
            }
            _ => false,
        };
        assert!(!is_read || !contains(value.as_bytes(), &WORLD.keys[0]) || value.is_sensitive());
    }
    match decided {
        Ok(key) => (StatusCode::OK, key.is_some()),
        Err(rejection) => (rejection.status(), false),
    }
}

/// A handler that is behind a guard.
async fn proven<B: Default>(request: Request<Empty<Bytes>>) -> Result<Response<B>, Infallible> {
    assert!(request.extensions().get::<VerifiedKey>().is_some());
    Ok(Response::new(B::default()))
}

/// A handler that counts its calls.
async fn counting<B: Default>(request: Request<Empty<Bytes>>) -> Result<Response<B>, Infallible> {
    let proof = request.extensions().get::<VerifiedKey>();
    assert!(proof.is_none_or(|key| key.subject() == "alice"));
    let (calls, _) = CALLS.get();
    CALLS.set((calls + 1, proof.is_some()));
    Ok(Response::new(B::default()))
}

fn answer(
    stack: &Stack<ResponseBody<Empty<Bytes>>>,
    request: Request<Empty<Bytes>>,
) -> (StatusCode, usize, bool) {
    CALLS.set((0, false));
    let Ok(response) = at_once(stack.clone().oneshot(request));
    let (parts, body) = response.into_parts();
    let body = at_once(body.collect()).map(http_body_util::Collected::to_bytes);
    for key in &WORLD.keys {
        assert!(
            parts
                .headers
                .values()
                .all(|it| !contains(it.as_bytes(), key))
        );
        assert!(body.as_ref().is_ok_and(|body| !contains(body, key)));
    }
    let (calls, proven) = CALLS.get();
    (parts.status, calls, proven)
}
