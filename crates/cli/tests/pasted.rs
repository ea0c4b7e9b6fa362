//! Keys that people paste, and the ways to name a key.

use super::servers::status;
use super::{Shell, failed, ran};
use tower_api_key_test_support::process::Running;
use tower_api_key_test_support::support::IMPORTED;

/// The steps of the runbook in the guide, while the service runs.
#[test]
fn r06_a_leaked_key_is_revoked_at_three_in_the_morning_from_a_paste() {
    let shell = Shell::new();
    let service = ["--prefix", "demo", "--realm", "demo"];
    let mint = |arguments: &[&str]| shell.mint(&[arguments, &service].concat());
    let (running, url) = Running::serve_keys_of("embedded", &shell.folder.keys());
    let url = format!("{url}/public");
    let (leaked, leaked_id) = mint(&["issue", "--subject", "carol"]);
    let (newer, newer_id) = mint(&["rotate", &leaked_id]);
    let (other, _) = mint(&["issue", "--subject", "carol"]);
    for key in [&leaked, &newer, &other] {
        assert_eq!(status(&url, key), "200");
    }
    let line = format!(
        "2026-11-28T03:02:11Z \u{1b}[33mWARN\u{1b}[0m GET /orders?key={leaked}&page=2 200 \"curl\"\r\n"
    );
    std::fs::write(shell.folder.path().join("leaked.txt"), line).unwrap();
    let setting = "export TOWER_API_KEY_PREFIX=demo TOWER_API_KEY_REALM=demo; ";
    let secret = leaked.rsplit('_').next().unwrap();
    let typed = |line: &str| {
        let ran = shell.type_in(&format!("{setting}{line}"));
        assert!(!format!("{ran:?}").contains(secret), "{ran:?}");
        ran
    };

    let shown = typed("tower-api-key show - < leaked.txt");
    assert_eq!((shown.code, shown.stderr.as_str()), (0, ""));
    assert!(shown.stdout.contains(&leaked_id) && shown.stdout.contains("carol"));

    let revoked = typed("tower-api-key revoke - --reason key_compromise < leaked.txt");
    let names = [(leaked_id.as_str(), "LEAKED"), (&newer_id, "NEWER")];
    assert_eq!(
        revoked.named(&names),
        ran(
            0,
            "LEAKED is revoked\n",
            "tower-api-key: warning: the key NEWER of the same lineage still works, until TIME; \
             to end it too, use revoke --lineage LEAKED\n"
        )
    );
    assert_eq!(status(&url, &leaked), "401");
    assert_eq!(status(&url, &newer), "200");

    let lineage = typed("tower-api-key revoke --lineage - --reason key_compromise < leaked.txt");
    assert_eq!(lineage, ran(0, "1 key of the lineage revoked\n", ""));
    assert_eq!(status(&url, &newer), "401");
    assert_eq!(status(&url, &other), "200", "of another lineage");

    let again = typed("tower-api-key revoke - < leaked.txt");
    assert_eq!(again.stderr, "");
    assert_eq!(again.stdout, format!("{leaked_id} was already revoked\n"));
    let listed = typed("tower-api-key list --subject carol --unrevoked --json").json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let all = typed("tower-api-key revoke --subject carol --reason key_compromise");
    assert_eq!(all, ran(0, "1 key of the subject revoked\n", ""));
    assert_eq!(status(&url, &other), "401");
    running.interrupt();
}

#[test]
fn every_command_on_a_key_takes_its_id_with_the_prefix_or_the_key_itself() {
    let shell = Shell::new();
    for form in [
        "ID",
        "acme_ID",
        "acme_ID_",
        "acme_ID_…",
        "acme_ID_***",
        " acme_ID ",
        "\"ID\"",
        "\u{feff}`acme_ID`",
    ] {
        let (first, first_id) = shell.mint(&["issue", "--subject", "a", "--scope", "read"]);
        let named = form.replace("ID", &first_id);
        assert_eq!(shell.run(&["show", &named]).code, 0, "{form}");
        assert_eq!(shell.run(&["list", "--lineage", &named]).code, 0, "{form}");
        assert_eq!(
            shell.paste(named.as_bytes(), &["show", "-"]).code,
            0,
            "{form}"
        );
        let narrow = ["narrow", &named, "--scope", "read"];
        assert_eq!(shell.run(&narrow).code, 0, "{form}");
        let (second, _) = shell.mint(&["rotate", &named]);
        assert_eq!(shell.run(&["revoke", &named]).code, 0, "{form}");
        assert_eq!(shell.verdict(&first), "revoked");
        assert_eq!(shell.verdict(&second), "accepted");
        assert_eq!(
            shell.run(&["revoke", "--lineage", &named]).code,
            0,
            "{form}"
        );
        assert_eq!(shell.verdict(&second), "revoked");
    }
    let (key, id) = shell.mint(&["issue", "--subject", "b", "--scope", "read"]);
    let narrowed = shell.feed(&key, &["narrow", "-", "--scope", "read"]);
    assert_eq!(narrowed, ran(0, &format!("{id} has the scopes read\n"), ""));
    let rotated = shell.feed(&key, &["rotate", "-", "--now"]);
    assert_eq!(
        (rotated.code, shell.verdict(&key).as_str()),
        (0, "replaced")
    );
    let second = rotated.stdout.trim_end();
    let regranted = shell.feed(second, &["regrant", "-", "--scope", "write"]);
    assert_eq!(
        (regranted.code, shell.verdict(second).as_str()),
        (0, "replaced")
    );
}

#[test]
fn a_key_is_found_in_whatever_was_pasted() {
    let shell = Shell::new();
    let (key, id) = shell.mint(&["issue", "--subject", "alice"]);
    let wide = |text: &str| -> Vec<u8> {
        let units = [0xfeff].into_iter().chain(text.encode_utf16());
        units.flat_map(u16::to_le_bytes).collect()
    };
    for pasted in [
        key.clone().into_bytes(),
        format!("{key}\r\n").into_bytes(),
        format!("\u{feff} '{key}' \n").into_bytes(),
        format!("\u{201c}{key}\u{201d}").into_bytes(),
        format!("{{\"msg\":\"\\n{key}\\n\"}}").into_bytes(),
        format!("X-Api-Key: {key}").into_bytes(),
        format!("GET /?k={}&x", key.replace('_', "%5F")).into_bytes(),
        format!("first line\nKEY_{key}_KEY\n{key}\n").into_bytes(),
        [b"\xff\x00\x80 ", key.as_bytes(), b"\xfe"].concat(),
        [vec![b' '; 40_000], key.clone().into_bytes()].concat(),
        wide(&format!("key: {key}\r\n")),
    ] {
        let shown = shell.paste(&pasted, &["show", "-", "--json"]);
        assert_eq!((shown.code, shown.stderr.as_str()), (0, ""), "{shown:?}");
        assert_eq!(shown.json()["id"], id);
    }
    let imported = shell.feed(
        IMPORTED,
        &[
            "import",
            "--subject",
            "carol",
            "--expires-in",
            "90d",
            "--json",
        ],
    );
    let imported = imported.json()["record"]["id"].as_str().unwrap().to_owned();
    for pasted in [format!(" {IMPORTED}\n"), format!("\"{IMPORTED}\"")] {
        let shown = shell.paste(pasted.as_bytes(), &["show", "-", "--json"]);
        assert_eq!(shown.json()["id"], imported);
    }
}

/// Ids are public: a text in a log that names one must not end another holder's key.
#[test]
fn r34_a_made_up_key_with_the_id_of_another_ends_nothing() {
    let shell = Shell::new();
    let (key, id) = shell.mint(&["issue", "--subject", "alice"]);
    // Another ring's key, with its own checksum, and then one that only looks right.
    let stranger = Shell::new();
    let (forged, forged_id) = stranger.mint(&["issue", "--subject", "mallory"]);
    let refused = shell.feed(&forged, &["revoke", "-"]);
    let line = format!(
        "no such key in this realm: the text has the id {forged_id}; use list to see the keys, or \
         --realm to choose another realm"
    );
    assert_eq!(refused, failed(3, &line));
    let forged = forge(&id);
    for arguments in [
        &["revoke", "-"][..],
        &["revoke", "--lineage", "-"],
        &["rotate", "-", "--now"],
        &["show", "-"],
    ] {
        let line = format!(
            "the text has the id {id}, but it is not that key: its secret is different, or the \
             ring has a pepper and the command needs --pepper; nothing was changed; to use the id \
             alone, write {id} instead of -"
        );
        assert_eq!(shell.feed(&forged, arguments), failed(3, &line));
    }
    assert_eq!(shell.verdict(&key), "accepted");
    let cut = format!("key={} …", &key[..30]);
    let line = format!(
        "there is no complete key with the prefix acme in standard input, only the id {id}; if \
         the id is right, write it instead of -"
    );
    assert_eq!(shell.feed(&cut, &["revoke", "-"]), failed(2, &line));
    assert_eq!(shell.verdict(&key), "accepted");
    let (other, other_id) = shell.mint(&["issue", "--subject", "bob"]);
    let both = shell.feed(&format!("{key}\n{other}"), &["revoke", "-"]);
    let line = format!(
        "standard input has several keys; write the id of one as the argument: {id}, {other_id}"
    );
    assert_eq!(both, failed(2, &line));
}

/// A key with this id, a made-up secret and the right checksum.
fn forge(id: &str) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let body = format!("acme_{id}_ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    let crc = body.bytes().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    });
    let (mut value, mut checksum) = (!crc, [0; 6]);
    for digit in checksum.iter_mut().rev() {
        *digit = ALPHABET[(value % 62) as usize];
        value /= 62;
    }
    format!("{body}{}", std::str::from_utf8(&checksum).unwrap())
}

#[test]
fn what_names_no_key_says_what_to_do() {
    let shell = Shell::new();
    let (key, id) = shell.mint(&["issue", "--subject", "alice"]);
    let argument = format!(
        "this is a key, not its id, and it may have leaked, because other users can see \
         arguments; write its id, {id}, or write - and put the key on standard input"
    );
    for text in [&key, &key[..40], &format!("{key}x")] {
        assert_eq!(shell.run(&["revoke", text]), failed(2, &argument), "{text}");
    }
    let other = "this id is of a key with the prefix other, but the prefix is acme; use --prefix \
                 to choose another";
    assert_eq!(
        shell.run(&["revoke", &format!("other_{id}")]),
        failed(2, other)
    );
    let nothing = failed(2, "no key: write it to standard input");
    assert_eq!(shell.run(&["revoke", "-"]), nothing);
    assert_eq!(shell.paste(b" \r\n\xef\xbb\xbf", &["revoke", "-"]), nothing);
    let none = "there is no complete key with the prefix acme in standard input";
    assert_eq!(shell.feed("nonsense", &["revoke", "-"]), failed(2, none));
    let stranger = key.replacen("acme", "other", 1);
    let none = format!("{none}: the key in it is mistyped, or has another prefix");
    assert_eq!(shell.feed(&stranger, &["revoke", "-"]), failed(2, &none));
    assert_eq!(shell.verdict(&key), "accepted");
}

#[test]
fn what_stands_around_a_key_is_left_out_or_named() {
    let shell = Shell::new();
    let (key, _) = shell.mint(&["issue", "--subject", "alice"]);
    let around = "tower-api-key: warning: white space or an invisible character around the key \
                  was removed; clients must send the key without it\n";
    let quotes = "tower-api-key: warning: quotes around the key were removed; clients must send \
                  the key without them\n";
    for (text, warning) in [
        (format!("{key}\n"), ""),
        (format!("{key}\r\n"), ""),
        (format!("\u{feff}{key}\n"), around),
        (format!("\t{key} \n"), around),
        (format!("{key}\u{200b}\n\n"), around),
        (format!("\"{key}\"\n"), quotes),
        (format!("'{key}'"), quotes),
    ] {
        let checked = shell.paste(text.as_bytes(), &["check"]);
        assert_eq!(
            (checked.code, checked.stderr.as_str()),
            (0, warning),
            "{text:?}"
        );
    }
    let text = format!("Authorization: Bearer {key}");
    let line = "tower-api-key: the key is not accepted: malformed; the text contains a key; write \
                only the key\n";
    assert_eq!(shell.feed(&text, &["check"]).stderr, line);

    let import = [
        "import",
        "--subject",
        "carol",
        "--expires-in",
        "1d",
        "--json",
    ];
    for quoted in [
        format!("\"{IMPORTED}\""),
        format!("{IMPORTED}'"),
        format!("“{IMPORTED}”"),
    ] {
        let line = "the key begins or ends with a quote; remove the quotes, or import the key \
                    with --digest if they are part of it";
        let ran = shell.feed(&quoted, &import);
        let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{quoted}");
        assert_eq!(error["error"]["message"], line);
    }
    let imported = shell.feed(&format!("\u{feff}{IMPORTED} "), &import);
    assert_eq!(imported.code, 0, "{imported:?}");
    let checked = shell.feed(IMPORTED, &["check"]);
    let line = "tower-api-key: the key is not accepted: malformed; it is an imported key; use \
                --accept-imports if the ring of the service accepts imported keys\n";
    assert_eq!((checked.code, checked.stderr.as_str()), (1, line));
    assert_eq!(shell.feed(IMPORTED, &["check", "--accept-imports"]).code, 0);
    let checked = shell.feed(&format!("'{IMPORTED}'"), &["check", "--accept-imports"]);
    let line = "tower-api-key: the key is not accepted: unknown; it is in quotes; write it \
                without them\n";
    assert_eq!((checked.code, checked.stderr.as_str()), (1, line));
}
