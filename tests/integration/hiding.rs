//! The credential and every earlier proof are gone before the inner service runs.

use http::StatusCode;
use tower::Layer;
use tower_api_key::{ApiKeyLayer, VerifiedKey};

use crate::support::{Inner, X_API_KEY, key, ring, send, with_key};

#[tokio::test]
async fn the_inner_service_sees_the_proof_and_not_the_credential() {
    let ring = ring();
    let key = key(&ring, "read").await;
    let inner = Inner::new();
    let service = ApiKeyLayer::new(ring).layer(inner.clone());

    let response = send(&service, with_key(&key)).await;

    assert_eq!(response.status, StatusCode::OK);
    let seen = inner.last();
    assert!(!seen.headers.contains_key(X_API_KEY));
    assert_eq!(
        seen.extensions.get::<VerifiedKey>().unwrap().subject(),
        "alice"
    );
}
