fn copy(secret: &tower_api_key::SecretKey) -> tower_api_key::SecretKey {
    secret.clone()
}

fn main() {}
