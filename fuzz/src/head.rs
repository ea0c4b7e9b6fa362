//! Nobody gets in without the key.

use std::cell::Cell;
use std::convert::Infallible;
use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::store::MemoryStore;
use tower_api_key::{
    ApiKeyLayer, Authenticator, Grant, KeyRing, RequireKeyLayer, RevocationReason, Source,
    VerifiedKey,
};

use crate::{at_once, contains, filled, key};

struct World {
    /// A key of the ring, one that is revoked, and one of another realm.
    keys: [String; 3],
    /// What layers read of `Authorization`, whether they are optional, and the layers.
    modes: Vec<(Reading, bool, ApiKeyLayer, Authenticator)>,
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
    let readings = [Reading::Bearer, Reading::TokenOrRaw];
    let modes = readings
        .into_iter()
        .flat_map(|it| [(it, false), (it, true)]);
    let modes = modes.map(|(reading, optional)| {
        let layer = ApiKeyLayer::new(ring.clone()).sources(reading.sources());
        let layer = if optional { layer.optional() } else { layer };
        // Nothing completes a response of the authenticator here.
        let authenticator = layer.clone().danger_without_cache_guard().authenticator();
        (reading, optional, layer, authenticator)
    });
    let modes = modes.collect();
    World { keys, modes }
});

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

    for (reading, optional, layer, authenticator) in &WORLD.modes {
        let (reading, optional) = (*reading, *optional);
        let presents = reading.presents(&headers, valid);
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = uri.clone();
        *request.method_mut() = method.clone();
        *request.headers_mut() = headers.clone();
        let sent = request.clone();
        let called = call(authenticator, request.clone());
        let (status, calls, proven) = answer(layer, request);
        assert_eq!(called, (status, proven), "a call decides as the layer does");
        // To prepare a stack takes longer than a request.
        if matches!((reading, optional), (Reading::TokenOrRaw, false)) {
            let guarded = guard(layer, sent);
            assert_eq!(guarded, status, "a guard refuses what is handed on");
        }

        let accepted = status == StatusCode::OK;
        assert_eq!(calls, usize::from(accepted), "{status}");
        assert!(
            !proven || (presents && !in_uri),
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
fn call(authenticator: &Authenticator, request: Request<Empty<Bytes>>) -> (StatusCode, bool) {
    let mut parts = request.into_parts().0;
    let decided = at_once(authenticator.authenticate_if_presented(&mut parts));
    for (name, value) in &parts.headers {
        let is_read = ["x-api-key", "authorization"].contains(&name.as_str());
        assert!(!is_read || !contains(value.as_bytes(), &WORLD.keys[0]) || value.is_sensitive());
    }
    match decided {
        Ok(key) => (StatusCode::OK, key.is_some()),
        Err(rejection) => (rejection.status(), false),
    }
}

/// The answer of a guard behind a layer that hands its refusals on.
fn guard(layer: &ApiKeyLayer, request: Request<Empty<Bytes>>) -> StatusCode {
    let inner = service_fn(async |request: Request<Empty<Bytes>>| {
        assert!(request.extensions().get::<VerifiedKey>().is_some());
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let lenient = layer.clone().allow_missing_or_failed();
    let stack = lenient.layer(RequireKeyLayer::new().layer(inner));
    let Ok(response) = at_once(stack.oneshot(request));
    response.status()
}

fn answer(layer: &ApiKeyLayer, request: Request<Empty<Bytes>>) -> (StatusCode, usize, bool) {
    let inner = service_fn(async |request: Request<Empty<Bytes>>| {
        let proof = request.extensions().get::<VerifiedKey>();
        assert!(proof.is_none_or(|key| key.subject() == "alice"));
        let (calls, _) = CALLS.get();
        CALLS.set((calls + 1, proof.is_some()));
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    CALLS.set((0, false));
    let Ok(response) = at_once(layer.layer(inner).oneshot(request));
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
