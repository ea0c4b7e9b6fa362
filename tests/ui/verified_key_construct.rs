use std::sync::Arc;
use tower_api_key::{KeyRecord, VerifiedKey};

fn forge(record: Arc<KeyRecord>) -> VerifiedKey {
    VerifiedKey { record }
}

fn forge_by_new(record: Arc<KeyRecord>) -> VerifiedKey {
    VerifiedKey::new(record)
}

fn forge_by_default() -> VerifiedKey {
    VerifiedKey::default()
}

fn main() {}
