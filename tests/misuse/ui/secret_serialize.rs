fn leak(secret: &tower_api_key::SecretKey) -> String {
    serde_json::to_string(secret).unwrap()
}

fn main() {}
