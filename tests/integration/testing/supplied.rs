//! A matrix over keys that its ring does not issue to a subject of their own: those of a table, and those of an owner.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response, StatusCode};
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::store::{ListQuery, MemoryStore, TableKey};
use tower_api_key::testing::{Fault, Matrix, MatrixError, MatrixKeys, Row, WantedKey};
use tower_api_key::{
    Access, ApiKeyLayer, Grant, KeyDigest, KeyId, KeyRing, KeyState, Owner, RevocationReason,
    RouteTable, ScopeSet, Source, Subject, Timestamp, Verifier,
};

use crate::support::Inner;

/// The tokens of another system, by their number.
#[derive(Clone, Default)]
struct Tokens(Arc<Mutex<Vec<(String, TableKey)>>>);

fn digest(text: &str) -> KeyDigest {
    KeyDigest::sha256(text.as_bytes())
}

const PAST: Timestamp = Timestamp::from_unix(1_600_000_000);

impl Tokens {
    fn add(&self, scopes: &ScopeSet, state: KeyState) -> String {
        let mut rows = self.0.lock().unwrap();
        // As of a system that only counts: a token that is near another one may be the next.
        let text = format!("cio-9f3A7b2C-{}", rows.len());
        let id = KeyId::from_number(rows.len() as u64);
        let row = TableKey::new(id, digest(&text), "alice").scopes(scopes);
        let row = match state {
            KeyState::Expired => row.expires_at(PAST),
            KeyState::Revoked => row.revoked_at(PAST),
            _ => row,
        };
        rows.push((text.clone(), row));
        text
    }

    fn verifier(&self) -> Verifier {
        let tokens = self.clone();
        let verifier = Verifier::builder("registry").build(move |asked| {
            let rows = tokens.0.lock().unwrap();
            let mut rows = rows.iter();
            let found = rows.find(|(text, _)| digest(text) == asked).cloned();
            async move { Ok(found.map(|(_, row)| row)) }
        });
        verifier.unwrap()
    }

    fn keys(&self) -> MatrixKeys {
        let tokens = self.clone();
        MatrixKeys::given(self.verifier(), move |wanted: WantedKey| {
            let text = tokens.add(wanted.scopes(), wanted.state());
            async move { Ok(Some(text)) }
        })
    }
}

fn table() -> RouteTable {
    RouteTable::builder()
        .get("/summary", Access::Public)
        .get("/me", Access::AnyKey)
        .put("/packages", "publish")
        .build()
        .unwrap()
}

fn layer(keys: impl Into<Verifier>) -> ApiKeyLayer {
    ApiKeyLayer::new(keys).routes(table())
}

async fn tried(keys: MatrixKeys, layer: &ApiKeyLayer) -> Result<usize, MatrixError> {
    let stack = layer.layer(Inner::new());
    Matrix::new(keys, table()).check::<_, (), _>(stack).await
}

fn rows(error: &MatrixError) -> BTreeSet<Row> {
    error.faults().iter().map(Fault::row).collect()
}

#[tokio::test]
async fn the_keys_of_a_table_are_given_by_the_test() {
    let tokens = Tokens::default();
    let right = layer(tokens.verifier());
    let requests = tried(tokens.keys(), &right).await.unwrap();
    assert!(requests > 100, "{requests}");

    // In every place, next to a ring that issues its own.
    let ring = KeyRing::builder("acme").build(MemoryStore::new()).unwrap();
    let places = [
        Source::scheme("Token").unwrap(),
        Source::authorization_raw(),
    ];
    let both = layer(ring.clone())
        .or(tokens.verifier())
        .sources(places.clone());
    for matrix in [
        Matrix::new(ring.clone(), table()).or(tokens.keys()),
        Matrix::new(tokens.keys(), table()).or(ring),
    ] {
        let matrix = matrix.sources(places.clone());
        let stack = both.layer(Inner::new());
        matrix.check::<_, (), _>(stack).await.unwrap();
    }
}

#[tokio::test]
async fn a_mistake_in_a_stack_over_a_table_has_its_row() {
    let tokens = Tokens::default();
    let forgotten = ApiKeyLayer::new(tokens.verifier());
    let error = tried(tokens.keys(), &forgotten).await.unwrap_err();
    assert!(rows(&error).contains(&Row::MissingScope), "{error}");

    // A table that reads no column but the digest, and one that finds every token.
    let blind = |tokens: &Tokens, finds_all: bool| {
        let tokens = tokens.clone();
        let verifier = Verifier::builder("registry").build(move |asked: KeyDigest| {
            let rows = tokens.0.lock().unwrap();
            let is_known = finds_all || rows.iter().any(|(text, _)| digest(text) == asked);
            let row = TableKey::new(KeyId::from_digest(&asked), asked, "alice").scopes("publish");
            async move { Ok(is_known.then_some(row)) }
        });
        layer(verifier.unwrap())
    };
    let error = tried(tokens.keys(), &blind(&tokens, false))
        .await
        .unwrap_err();
    let states = [Row::ExpiredKey, Row::RevokedKey, Row::MissingScope];
    assert_eq!(rows(&error), BTreeSet::from(states), "{error}");
    let error = tried(tokens.keys(), &blind(&tokens, true))
        .await
        .unwrap_err();
    for row in [Row::MalformedKey, Row::UnknownKey] {
        assert!(rows(&error).contains(&row), "{error}");
    }

    // A key in the query is no credential.
    let from_query =
        layer(tokens.verifier())
            .layer(Inner::new())
            .map_request(|mut request: Request<()>| {
                let key = request.uri().query().and_then(|it| it.strip_prefix("key="));
                if let Some(key) = key.map(|key| key.parse().unwrap()) {
                    request.headers_mut().insert("x-api-key", key);
                    *request.uri_mut() = request.uri().path().parse().unwrap();
                }
                request
            });
    let matrix = Matrix::new(tokens.keys(), table());
    let error = matrix.check(from_query).await.unwrap_err();
    assert_eq!(rows(&error), BTreeSet::from([Row::KeyInUrl]), "{error}");
}

#[tokio::test]
async fn a_state_that_the_table_does_not_have_is_left_out() {
    let tokens = Tokens::default();
    let (right, of_test) = (layer(tokens.verifier()), tokens.clone());
    let keys = MatrixKeys::given(tokens.verifier(), move |wanted: WantedKey| {
        let text = match wanted.state() {
            KeyState::Live => Some(of_test.add(wanted.scopes(), KeyState::Live)),
            _ => None,
        };
        async move { Ok(text) }
    });
    let fewer = tried(keys, &right).await.unwrap();
    assert_eq!(tried(tokens.keys(), &right).await.unwrap() - fewer, 6);
}

#[tokio::test]
async fn keys_that_are_given_wrongly_are_no_mistake_of_the_stack() {
    let tokens = Tokens::default();
    let untried = async |given: Result<Option<&str>, &'static str>| {
        let given = given.map(|key| key.map(str::to_owned));
        let keys = MatrixKeys::given(tokens.verifier(), move |_: WantedKey| {
            let given = given.clone().map_err(Into::into);
            async move { given }
        });
        let error = tried(keys, &layer(tokens.verifier())).await.unwrap_err();
        assert_eq!(error.faults().len(), 0);
        error.to_string()
    };
    assert_eq!(
        untried(Err("no connection")).await,
        "the test could not give a key of the realm registry for the matrix: no connection"
    );
    assert_eq!(
        untried(Ok(None)).await,
        "the test gave no key in the place of a valid key of the realm registry with no scope"
    );
    let revoked = tokens.add(&ScopeSet::empty(), KeyState::Revoked);
    assert_eq!(
        untried(Ok(Some(&revoked))).await,
        "the test gave a wrong key in the place of a valid key of the realm registry with no scope: \
         the verifier refuses it: Invalid(Revoked)"
    );
    let publishes = tokens.add(&"publish".parse().unwrap(), KeyState::Live);
    assert_eq!(
        untried(Ok(Some(&publishes))).await,
        "the test gave a wrong key in the place of a valid key of the realm registry with no scope: \
         its scopes are publish"
    );
}

/// As a client over the network, whose error contains the request.
#[tokio::test]
async fn r06_an_error_of_the_service_shows_no_given_key() {
    let tokens = Tokens::default();
    let failing = service_fn(async |request: Request<()>| {
        let key = request.headers().get("x-api-key");
        Err::<Response<()>, _>(key.map(|key| key.to_str().unwrap().to_owned()))
    });
    let matrix = Matrix::new(tokens.keys(), table());
    let error = matrix.check(failing).await.unwrap_err();
    let text = format!("{error} {:?}", error.faults());
    assert!(
        text.contains("an error of the service: Some(\"(a key)\")"),
        "{text}"
    );
    for key in tokens.0.lock().unwrap().iter().map(|(text, _)| text) {
        let shown = text.contains(&format!("\"{key}\""));
        assert!(!shown, "{text}");
    }
}

#[tokio::test]
async fn the_keys_of_a_ring_with_owners_are_issued_to_one_that_it_knows() {
    let ring = KeyRing::builder("acme")
        .owners(async |subject: Subject| Ok((subject == "alice").then(Owner::unrestricted)));
    let ring = ring.build(MemoryStore::new()).unwrap();
    let own = ring.issue(Grant::new("alice")).await.unwrap();
    let right = layer(ring.clone());
    let keys = MatrixKeys::issued_to(ring.clone(), "alice");
    tried(keys, &right).await.unwrap();
    // Nothing that it issued is left, and the owner's other key is.
    let left = ring.list(&ListQuery::new().unrevoked()).await.unwrap();
    let left: Vec<KeyId> = left.records().iter().map(|it| it.id()).collect();
    assert_eq!(left, [own.id()]);

    let error = tried(ring.clone().into(), &right).await.unwrap_err();
    let start = "the ring acme issues no key with no scope for the matrix: ";
    assert!(error.to_string().starts_with(start), "{error}");

    // A handler that removes its key for good.
    let of_handler = ring.clone();
    let ending = service_fn(move |request: Request<()>| {
        let ring = of_handler.clone();
        async move {
            if let Ok(key) = tower_api_key::VerifiedKey::of(request.extensions()) {
                let reason = RevocationReason::CessationOfOperation;
                ring.revoke(key.id(), reason).await.unwrap();
            }
            let mut response = Response::new(http_body_util::Empty::<bytes::Bytes>::new());
            *response.status_mut() = StatusCode::NO_CONTENT;
            Ok::<_, Infallible>(response)
        }
    });
    let keys = MatrixKeys::issued_to(ring.clone(), "alice");
    let stack = layer(ring).layer(ending);
    Matrix::new(keys, table()).check(stack).await.unwrap();
}
