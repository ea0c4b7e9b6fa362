use axum::{Router, routing::get};
use tower::util::option_layer;
use tower_api_key::{ApiKeyLayer, KeyRing};

fn app(ring: KeyRing, is_required: bool) -> Router {
    let layer = is_required.then(|| ApiKeyLayer::new(ring));
    Router::new()
        .route("/orders", get(async || "orders"))
        .layer(option_layer(layer))
}

fn main() {}
