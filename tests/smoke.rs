//! The crate as most services have it: no feature, a layer around a service, a key in a header.

use std::convert::Infallible;
use std::error::Error;

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::{ApiKeyLayer, Grant, KeyRing, VerifiedKey, store::MemoryStore};

#[tokio::test]
async fn a_key_lets_its_subject_in_and_nothing_else_does() -> Result<(), Box<dyn Error>> {
    let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
    let issued = ring.issue(Grant::new("alice").scopes(["read"])).await?;
    let greet = service_fn(async |request: Request<()>| {
        let key: Option<&VerifiedKey> = request.extensions().get();
        let subject = key.map_or(String::new(), |key| key.subject().to_string());
        Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::from(subject)))
    });
    let reading = ApiKeyLayer::new(ring.clone()).require("read").layer(greet);
    let writing = ApiKeyLayer::new(ring).require("write").layer(greet);
    let with = |key: &str| Request::builder().header("x-api-key", key).body(());

    let key = issued.secret().expose();
    let ok = reading.clone().oneshot(with(key)?).await?;
    assert_eq!(ok.status(), StatusCode::OK);
    let forbidden = writing.oneshot(with(key)?).await?;
    assert_eq!(forbidden.status(), StatusCode::FORBIDDEN);
    let unknown = reading.clone().oneshot(with("acme_unknown")?).await?;
    assert_eq!(unknown.status(), StatusCode::UNAUTHORIZED);
    let missing = reading.oneshot(Request::new(())).await?;
    assert_eq!(missing.status(), StatusCode::UNAUTHORIZED);
    Ok(())
}
