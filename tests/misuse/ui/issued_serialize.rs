fn leak(issued: &tower_api_key::Issued) -> String {
    serde_json::to_string(issued).unwrap()
}

fn main() {}
