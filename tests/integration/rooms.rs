//! The rooms (modules) of the crate: a lower one imports no higher one, and only the highest use HTTP.

use std::fs;
use std::path::{Path, PathBuf};

/// From the lowest. The stores are one floor: they stand on the ring, and the port of `store` on none
/// of them.
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
    "ring",
    "middleware",
    "testing",
    "stores",
];
const STORES: [&str; 3] = ["store/file/", "store/postgres/", "store/sqlite/"];
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

/// The source lines of the library, each with its room.
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
        if ["bin", "guide", "lib.rs"].contains(&first) || name.contains("tests") {
            continue;
        }
        let is_store = STORES.iter().any(|store| name.starts_with(store));
        let first = if is_store { "stores" } else { first };
        let room = ROOMS.into_iter().find(|room| *room == first);
        let room = room.unwrap_or_else(|| panic!("{name} is in no room"));
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let code = code
            .lines()
            .map(str::trim_start)
            .filter(|it| !it.starts_with("//"));
        lines.extend(code.map(|line| (room, name.clone(), line.to_owned())));
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
                // A macro, or an item that a store imports by its public name.
                let is_macro = ["serde_text", "text_type"].contains(&other);
                assert!(is_macro || room == "stores", "{name}: {line}");
                continue;
            };
            assert!(Some(other) <= rank(room), "{name}: {line}");
            imports += 1;
        }
    }
    assert!(imports > 300, "{imports}");
}

#[test]
fn only_the_middleware_names_http() {
    for (room, name, line) in lines() {
        let named = words_after(&line, "use ")
            .into_iter()
            .find(|it| HTTP.contains(it));
        assert!(named.is_none() || room == "middleware", "{name}: {line}");
    }
}
