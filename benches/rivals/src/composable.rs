//! composable-tower-http's authorizer of API keys, over a set of plaintext keys.

use std::collections::HashSet;

use bytes::Bytes;
use composable_tower_http::authorize::api_key::{ApiKey, DefaultApiKeyAuthorizer};
use composable_tower_http::authorize::header::DefaultHeaderExtractor;
use composable_tower_http::extension::ExtensionLayerExt;
use composable_tower_http::extract::ExtractorExt;
use http::{Response, StatusCode};
use http_body_util::Full;
use tower_api_key_overhead::{Inner, Subject, subject};
use tower_layer::Layer;

pub(crate) fn service(plaintexts: &[String]) -> Box<dyn Subject> {
    let keys: HashSet<ApiKey> = plaintexts.iter().cloned().map(ApiKey::new).collect();
    let extractor = DefaultHeaderExtractor::new("x-api-key");
    let authorizer = DefaultApiKeyAuthorizer::new(extractor, keys);
    let layer = authorizer.map_err(|_| Refused).extension_layer();
    subject(layer.layer(Inner))
}

/// The crate leaves the response to the application, except over axum 0.7.
struct Refused;

impl From<Refused> for Response<Full<Bytes>> {
    fn from(_: Refused) -> Self {
        let mut response = Self::new(Full::default());
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        response
    }
}
