use tower_api_key::{ApiKeyLayer, KeyRing};

fn require(ring: KeyRing, scope: String) -> ApiKeyLayer {
    ApiKeyLayer::new(ring).require(scope)
}

fn main() {}
