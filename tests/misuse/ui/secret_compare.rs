use tower_api_key::SecretKey;

fn same(one: &SecretKey, other: &SecretKey) -> bool {
    one == other
}

fn main() {}
