fn main() {
    let request = http::Request::new(());
    let _ = tower_api_key::VerifiedKey::of(&request);
}
