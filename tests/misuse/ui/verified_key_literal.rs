use tower_api_key::VerifiedKey;

/// A value of whichever type is asked for: only privacy keeps the rest from compiling.
fn any<T>() -> T {
    unreachable!()
}

fn main() {
    let _ = VerifiedKey { record: any(), scheme: any() };
}
