fn show(secret: &tower_api_key::SecretKey) -> String {
    format!("{secret}")
}

fn main() {}
