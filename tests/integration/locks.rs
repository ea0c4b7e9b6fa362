//! What comes along: the lock file of a service that depends on the packages.

use std::process::Command;

use crate::folder::Folder;

/// The names in the lock file of a service with these dependencies, resolved without a network.
fn locked(dependencies: &str) -> Vec<String> {
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let folder = Folder::new();
    let manifest = folder.path().join("Cargo.toml");
    let lock = folder.path().join("Cargo.lock");
    std::fs::create_dir(folder.path().join("src")).unwrap();
    std::fs::write(folder.path().join("src/lib.rs"), "").unwrap();
    let dependencies = dependencies.replace("WORKSPACE", workspace);
    let text = format!(
        "[package]\nname = \"service\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n{dependencies}\n"
    );
    std::fs::write(&manifest, text).unwrap();
    // So that the versions are those that are there.
    std::fs::copy(format!("{workspace}/Cargo.lock"), &lock).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["update", "--workspace", "--offline", "--manifest-path"])
        .arg(&manifest)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lock = std::fs::read_to_string(lock).unwrap();
    let names = lock.lines().filter_map(|line| line.strip_prefix("name = "));
    names
        .map(|name| name.trim_matches('"').to_owned())
        .collect()
}

#[test]
fn a_service_locks_no_package_of_our_tests() {
    let names = locked(
        r#"tower-api-key = { path = "WORKSPACE", features = ["axum", "openapi", "replica", "serde", "sql", "testing", "tracing"] }
tower-api-key-sqlite = { path = "WORKSPACE/crates/sqlite" }
tower-api-key-postgres = { path = "WORKSPACE/crates/postgres" }"#,
    );
    let has = |name: &str| names.iter().any(|locked| locked == name);
    // The list is that of a service: it has what the packages are made of.
    for there in ["tower-api-key", "papaya", "rusqlite", "sqlx", "axum"] {
        assert!(has(there), "{there} is missing of {names:?}");
    }
    for absent in ["shuttle", "proptest", "tonic", "tower-api-key-contract"] {
        assert!(!has(absent), "{absent}");
    }
}
