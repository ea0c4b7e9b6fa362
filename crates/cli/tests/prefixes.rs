//! A realm whose keys begin with another prefix than the command's.

use super::{Shell, ran};

const WARNING: &str = "tower-api-key: warning: the prefix is acme, but the newest keys of the \
                       realm orders begin with acme_live; a service refuses keys that do not have \
                       its prefix\n";

#[test]
fn a_realm_whose_keys_have_another_prefix_is_a_warning() {
    let shell = Shell::new();
    let live = ["--prefix", "acme_live"];
    let issue = ["issue", "--subject", "alice"];
    let empty = shell.run(&["list"]);
    assert_eq!(empty, ran(0, "", "no keys in the realm orders\n"));
    let (key, _) = shell.mint(&[&issue[..], &live].concat());
    let id = key[10..22].to_owned();

    for arguments in [&["list"][..], &["show", &id]] {
        let ran = shell.run(arguments);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, WARNING));
        let right = shell.run(&[arguments, &live].concat());
        assert_eq!(right.stderr, "");
        assert_eq!(right.stdout, ran.stdout);
    }
    let checked = shell.feed(&key, &["check"]);
    assert_eq!(checked.code, 1);
    assert!(checked.stderr.starts_with(WARNING), "{checked:?}");
    // The program warns, and continues.
    let rotated = shell.run(&["rotate", &id, "--grace", "1h"]);
    assert_eq!(rotated.code, 0);
    assert!(rotated.stdout.starts_with("acme_"));
    assert!(rotated.stderr.starts_with(WARNING), "{rotated:?}");

    // A realm that has keys of both prefixes, and another realm.
    assert_eq!(shell.run(&["list"]).stderr, "");
    let (_, other) =
        shell.mint(&[&issue[..], &["--realm", "billing", "--prefix", "bill"]].concat());
    let regrant = ["regrant", &other, "--realm", "billing", "--json"];
    let regranted = shell.run(&regrant);
    assert_eq!(regranted.code, 0);
    let warning = r#"{"warning":"the prefix is acme, but the newest keys of the realm billing begin with bill; a service refuses keys that do not have its prefix"}"#;
    assert_eq!(regranted.stderr, format!("{warning}\n"));
    // A command that needs no prefix does not check any.
    let mut listing = shell.command(&["list", "--realm", "billing"]);
    listing.env_remove("TOWER_API_KEY_PREFIX");
    assert_eq!(listing.output().unwrap().stderr, b"");
}

#[test]
fn imported_keys_have_no_prefix() {
    let shell = Shell::new();
    let import = ["import", "--subject", "alice", "--expires-in", "30d"];
    let imported = shell.feed(tower_api_key_test_support::support::IMPORTED, &import);
    assert_eq!(imported.code, 0, "{imported:?}");
    let listed = shell.run(&["list", "--json"]);
    assert_eq!(listed.stderr, "");
    assert_eq!(listed.json()[0]["prefix"], serde_json::Value::Null);
}
