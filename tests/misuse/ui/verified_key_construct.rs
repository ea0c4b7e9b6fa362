use tower_api_key::VerifiedKey;

/// A value of whichever type is asked for: only privacy keeps the rest from compiling.
fn any<T>() -> T {
    unreachable!()
}

fn forge_by_new() -> VerifiedKey {
    VerifiedKey::new(any())
}

fn forge_by_default() -> VerifiedKey {
    VerifiedKey::default()
}

fn main() {}
