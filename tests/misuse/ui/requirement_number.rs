fn main() {
    let _ = tower_api_key::RequireScopeLayer::new(42);
}
