//! The rooms (modules) of the product: a lower one imports no higher one, and only the two highest use HTTP.
//! The packages next to it stand on the product alone, except the program, which stands on the stores too.

use std::fs;
use std::path::{Path, PathBuf};

/// From the lowest.
const ROOMS: [&str; 14] = [
    "support",
    "error",
    "time",
    "key",
    "access",
    "record",
    "lifecycle",
    "verdict",
    "observe",
    "store",
    "replica",
    "ring",
    "middleware",
    "testing",
];
/// The macros at the root of the product.
const MACROS: [&str; 7] = [
    "borrowed_text",
    "compared_text",
    "parsed_text",
    "serde_text",
    "set_type",
    "shown_text",
    "text_type",
];
/// The packages next to the product that are no program. The compiler holds them to its public items.
const PACKAGES: [&str; 6] = [
    "contract",
    "file",
    "postgres",
    "sqlite",
    "sqlite_schema",
    "sqlite_sqlx",
];
/// What the stores of SQLite share.
const SHARED: &str = "sqlite_schema";

/// Whether a line names an item of one of them.
fn names_a_package(line: &str) -> bool {
    PACKAGES
        .iter()
        .any(|package| line.contains(&format!("tower_api_key_{package}::")))
}
const HTTP: [&str; 5] = [
    "http",
    "http_body",
    "tower_layer",
    "tower_service",
    "axum_core",
];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
}

/// The lines of a file that are neither comments nor unit tests.
fn code(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let code = code.lines().map(str::trim_start);
    let code = code.filter(|it| !it.starts_with("//"));
    code.map(str::to_owned).collect()
}

/// The source lines of the product, each with its room.
fn lines() -> Vec<(&'static str, String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
    let (mut found, mut lines) = (Vec::new(), Vec::new());
    files(&src, &mut found);
    for file in found {
        let name = file
            .strip_prefix(&src)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let first = name.split('/').next().unwrap();
        let is_test = name.contains("tests") || name.contains("/simulation/");
        if ["guide", "lib.rs"].contains(&first) || is_test {
            continue;
        }
        let room = ROOMS.into_iter().find(|room| *room == first);
        let room = room.unwrap_or_else(|| panic!("{name} is in no room"));
        let code = code(&file).into_iter();
        lines.extend(code.map(|line| (room, name.clone(), line)));
    }
    lines
}

fn words_after<'a>(line: &'a str, start: &str) -> Vec<&'a str> {
    let word = |rest: &'a str| {
        rest.split(|it: char| !it.is_alphanumeric() && it != '_')
            .next()
    };
    line.split(start).skip(1).filter_map(word).collect()
}

#[test]
fn a_lower_room_imports_no_higher_one() {
    let rank = |room: &str| ROOMS.iter().position(|it| *it == room);
    let mut imports = 0;
    for (room, name, line) in lines() {
        for other in words_after(&line, "crate::") {
            let Some(other) = rank(other) else {
                assert!(MACROS.contains(&other), "{name}: {line}");
                continue;
            };
            assert!(Some(other) <= rank(room), "{name}: {line}");
            imports += 1;
        }
    }
    assert!(imports > 300, "{imports}");
}

#[test]
fn only_the_middleware_and_its_tests_name_http() {
    for (room, name, line) in lines() {
        let named = words_after(&line, "use ")
            .into_iter()
            .find(|it| HTTP.contains(it));
        let may = ["middleware", "testing"].contains(&room);
        assert!(named.is_none() || may, "{name}: {line}");
    }
}

/// A build in which another package has the feature differs from one without it by items that nothing calls.
#[test]
fn the_feature_testing_only_adds_items() {
    const PLACES: [(&str, usize); 3] = [("lib.rs", 2), ("ring/mod.rs", 1), ("time/mod.rs", 2)];
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
    let mut found = Vec::new();
    files(&src, &mut found);
    let mut places = Vec::new();
    for file in found {
        let name = file.strip_prefix(&src).unwrap().to_str().unwrap();
        let lines = code(&file);
        let named: Vec<_> = lines
            .iter()
            .filter(|it| it.contains("\"testing\""))
            .collect();
        for line in &named {
            assert_eq!(*line, "#[cfg(feature = \"testing\")]", "{name}");
        }
        if !named.is_empty() {
            places.push((name.to_owned(), named.len()));
        }
    }
    places.sort_unstable();
    assert_eq!(places, PLACES.map(|(name, lines)| (name.to_owned(), lines)));
}

/// Threads, files, sockets and runtimes are for the packages. One dependency starts a timer thread at its
/// first use, and one line reads the wall clock.
#[test]
fn the_product_needs_no_operating_system_of_its_own() {
    const NEEDS: [&str; 7] = [
        "std::thread",
        "std::fs",
        "std::process",
        "std::env",
        "std::net::Tcp",
        "Instant",
        "tokio",
    ];
    let mut clocks = 0;
    for (_, name, line) in lines() {
        let needed = NEEDS.into_iter().find(|need| line.contains(need));
        assert!(needed.is_none(), "{name}: {line}");
        clocks += usize::from(line.contains("SystemTime::now"));
    }
    assert_eq!(clocks, 1);
}

#[test]
fn a_package_stands_on_the_product_alone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for package in PACKAGES {
        let mut found = Vec::new();
        let folder = package.replace('_', "-");
        files(&root.join("crates").join(folder).join("src"), &mut found);
        let mut imports = 0;
        for file in found {
            for line in code(&file) {
                let named = words_after(&line, "use ");
                let is_http = named.iter().any(|it| HTTP.contains(it));
                let is_shared = package.starts_with("sqlite") && package != SHARED;
                let shared = format!("tower_api_key_{SHARED}::");
                let is_member = names_a_package(&line) && !(is_shared && line.contains(&shared));
                assert!(!is_http && !is_member, "{}: {line}", file.display());
                imports += usize::from(named.contains(&"tower_api_key"));
            }
        }
        let least = if package == SHARED { 4 } else { 10 };
        assert!(imports > least, "{package}: {imports}");
    }
    for (_, name, line) in lines() {
        assert!(!names_a_package(&line), "{name}: {line}");
    }
}
