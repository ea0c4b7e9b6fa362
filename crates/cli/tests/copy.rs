//! `copy`: the records of one store in another.

use std::sync::Arc;

use rusqlite::Connection;
use tower_api_key::store::{
    Change, KeyStore, KeyUsage, ListQuery, NetworkUse, ScopeUse, UsedNetwork, Write,
};
use tower_api_key::{
    ClientNetwork, KeyDigest, KeyId, KeyRecordParts, Realm, Revocation, RevocationReason, Timestamp,
};
use tower_api_key_postgres::PostgresStore;
use tower_api_key_sqlite::SqliteStore;

use super::{Ran, Shell, failed, ran};
use tower_api_key_test_support::pg_server::{database, empty_database, execute};
use tower_api_key_test_support::sqlite::unguarded;

/// Every record of a store, in the order of realms and ids, with its last use and what it was used for.
type Records = Vec<(KeyRecordParts, (Option<Timestamp>, KeyUsage))>;

impl Shell {
    /// Makes another store in the folder, and returns its URL.
    fn another(&self, name: &str) -> String {
        let url = format!("sqlite:{}", self.folder.path().join(name).display());
        let migrated = self.run(&["migrate", "--store", &url]);
        assert_eq!(migrated.code, 0, "{migrated:?}");
        url
    }

    /// Copies all realms.
    fn copy(&self, from: &str, to: &str) -> Ran {
        let mut command = self.command(&["copy", to, "--store", from]);
        Ran::of(command.env_remove("TOWER_API_KEY_REALM").output().unwrap())
    }

    fn connection(&self) -> Connection {
        Connection::open(self.folder.keys()).unwrap()
    }

    fn over(&self, store: &str) -> Shell {
        let mut shell = Shell::without_store();
        shell.store = match store.strip_prefix("sqlite:") {
            Some(path) => format!("sqlite:{}", self.folder.path().join(path).display()),
            None => store.to_owned(),
        };
        shell
    }
}

/// What a copy says, if all went well.
fn copied(copied: usize, updated: usize, there: usize) -> Ran {
    ran(0, "", &line(copied, updated, there, 0, "0 conflicts"))
}

fn line(copied: usize, updated: usize, there: usize, unreadable: usize, conflicts: &str) -> String {
    format!(
        "{copied} copied, {updated} updated, {there} already there, {unreadable} unreadable, \
         {conflicts}\n"
    )
}

/// What a copy says if it passed over one record, for this reason.
fn passed_over(id: &str, why: &str, counts: &str) -> Ran {
    let warning = format!(
        "tower-api-key: warning: the record of the key {id} in the realm orders was not copied: {why}\n"
    );
    let error = "tower-api-key: 1 record was not copied; see the warning\n";
    ran(7, "", &format!("{warning}{counts}{error}"))
}

fn sqlite(url: &str) -> Arc<dyn KeyStore> {
    let path = url.strip_prefix("sqlite:").unwrap();
    Arc::new(SqliteStore::open_existing(path).unwrap())
}

async fn records(store: &dyn KeyStore) -> Records {
    let mut all = Records::new();
    for realm in store.realms().await.unwrap() {
        let page = store.list(&realm, &ListQuery::new()).await.unwrap();
        let page = page.complete().unwrap();
        let ids: Vec<KeyId> = page.iter().map(|record| record.id()).collect();
        let uses = store.last_uses(&realm, &ids).await.unwrap();
        let usages = store.usages(&realm, &ids).await.unwrap();
        let uses = uses.into_iter().zip(usages);
        all.extend(page.iter().map(|record| record.to_parts()).zip(uses));
    }
    all
}

fn bare(number: u32, realm: &str) -> KeyRecordParts {
    let id = format!("{number:012}").parse().unwrap();
    let (realm, at) = (
        Realm::new(realm).unwrap(),
        Timestamp::from_unix(1_700_000_000),
    );
    let digest = KeyDigest::sha256(&number.to_be_bytes());
    let mut parts = KeyRecordParts::new(id, realm, digest, "carol".parse().unwrap(), at);
    parts.expires_at = None;
    parts
}

async fn put(store: &dyn KeyStore, records: impl IntoIterator<Item = KeyRecordParts>) {
    let writes = records.into_iter().map(Write::new);
    store.commit(&Change::new(writes.collect())).await.unwrap();
}

/// A store with keys in every state, in two realms, and more of them than a commit holds. Returns some
/// that are accepted, and one that is not.
async fn full(shell: &Shell) -> (Vec<String>, String) {
    let issue = [
        "issue",
        "--subject",
        "alice",
        "--scope",
        "read",
        "--scope",
        "write",
        "--label",
        "my laptop",
        "--metadata",
        "team=\u{e9}\"\\",
    ];
    let (first, first_id) = shell.mint(&issue);
    let (second, _) = shell.mint(&["rotate", &first_id, "--grace", "12h"]);
    let (_, other_id) = shell.mint(&issue);
    let narrow = ["narrow", &other_id, "--scope", "read", "--caveat"];
    for net in ["net=10.0.0.0/8", "net=10.1.0.0/16"] {
        let narrowed = shell.run(&[&narrow[..], &[net]].concat());
        assert_eq!(narrowed.code, 0, "{narrowed:?}");
    }
    let (dead, dead_id) = shell.mint(&issue);
    let revoked = shell.run(&["revoke", &dead_id, "--reason", "key_compromise"]);
    assert_eq!(revoked.code, 0);
    let (_, replaced_id) = shell.mint(&issue);
    let (third, _) = shell.mint(&["regrant", &replaced_id, "--scope", "admin"]);
    let import = ["import", "--subject", "dave", "--never-expires"];
    let digest = shell.sha256("a key from elsewhere");
    let unlimited = ["--max-lifetime", "unlimited", "--digest", &digest];
    let imported = shell.run(&[&import[..], &unlimited].concat());
    assert_eq!(imported.code, 0, "{imported:?}");

    let store = sqlite(&shell.store);
    put(&*store, (0..450).map(|number| bare(number, "billing"))).await;
    let mut peppered = bare(450, "billing");
    peppered.pepper_version = Some(7);
    peppered.version = 40;
    peppered.revocation = Some(Revocation::new(
        Timestamp::from_unix(1_700_000_001),
        RevocationReason::CessationOfOperation,
    ));
    put(&*store, [peppered]).await;
    let used = |number: u32| {
        (
            bare(number, "billing").id,
            Timestamp::from_unix(1_800_000_000),
        )
    };
    let billed = [used(3), used(401)];
    let realm = Realm::new("billing").unwrap();
    store.record_uses(&realm, &billed).await.unwrap();
    let realm = Realm::new("orders").unwrap();
    let used = (
        first_id.parse().unwrap(),
        Timestamp::from_unix(1_800_000_001),
    );
    store.record_uses(&realm, &[used]).await.unwrap();
    let at = Timestamp::from_unix;
    let scopes = ScopeUse::new(at(1_800_000_000), at(1_800_000_001), "a b".parse().unwrap());
    let network = ClientNetwork::of("203.0.113.9".parse().unwrap());
    let network = UsedNetwork::new(network, at(1_800_000_000), at(1_800_000_001));
    let usage = KeyUsage::new()
        .scope_use(scopes)
        .network_use(NetworkUse::new(network.first, [network], 7));
    let usage = [(first_id.parse().unwrap(), usage)];
    store.record_usage(&realm, &usage).await.unwrap();
    (vec![first, second, third], dead)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_to_postgres_and_back_holds_every_field_of_every_record() {
    let shell = Shell::new();
    let (accepted, dead) = full(&shell).await;
    let before = records(&*sqlite(&shell.store)).await;
    assert_eq!(before.len(), 451 + 7);
    let postgres = database().await;
    assert_eq!(shell.copy(&shell.store, &postgres), copied(458, 0, 0));
    let there = PostgresStore::connect(&postgres).await.unwrap();
    assert_eq!(records(&there).await, before);
    assert_eq!(shell.copy(&shell.store, &postgres), copied(0, 0, 458));

    let back = shell.another("back.db");
    assert_eq!(shell.copy(&postgres, &back), copied(458, 0, 0));
    assert_eq!(records(&*sqlite(&back)).await, before);
    assert_eq!(shell.copy(&back, &postgres), copied(0, 0, 458));
    for store in [&postgres, &back] {
        let copy = shell.over(store);
        for key in &accepted {
            assert_eq!(copy.verdict(key), "accepted", "{store}");
        }
        assert_eq!(copy.verdict(&dead), "revoked", "{store}");
    }
    assert_eq!(records(&there).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn r32_a_second_run_brings_revocations_and_narrowings_and_revives_nothing() {
    let shell = Shell::new();
    let scopes = ["--scope", "a", "--scope", "b", "--scope", "c"];
    let mint = || shell.mint(&[&["issue", "--subject", "alice"][..], &scopes].concat());
    let keys: Vec<_> = (0..5).map(|_| mint()).collect();
    let postgres = database().await;
    let there = shell.over(&postgres);
    assert_eq!(shell.copy(&shell.store, &postgres), copied(5, 0, 0));
    let narrow = |shell: &Shell, id: &str, scopes: &[&str]| {
        let named = scopes.iter().flat_map(|scope| ["--scope", scope]);
        let arguments: Vec<&str> = ["narrow", id].into_iter().chain(named).collect();
        assert_eq!(shell.run(&arguments).code, 0);
    };
    let ids: Vec<&str> = keys.iter().map(|(_, id)| id.as_str()).collect();

    // Revoked in the source alone, at a version below that of the target.
    narrow(&there, ids[0], &["a", "b"]);
    narrow(&there, ids[0], &["a"]);
    let revoke = ["revoke", ids[0], "--reason", "key_compromise"];
    assert_eq!(shell.run(&revoke).code, 0);
    // Revoked in the target alone, at a version below that of the source.
    assert_eq!(there.run(&["revoke", ids[1]]).code, 0);
    narrow(&shell, ids[1], &["a", "b"]);
    narrow(&shell, ids[1], &["a"]);
    // Narrowed twice in the source.
    narrow(&shell, ids[2], &["a", "b"]);
    narrow(&shell, ids[2], &["a"]);
    // Narrowed in both, each in another way.
    narrow(&shell, ids[3], &["a", "b"]);
    narrow(&there, ids[3], &["b", "c"]);

    assert_eq!(shell.copy(&shell.store, &postgres), copied(0, 3, 2));
    let now: Vec<_> = ids
        .iter()
        .map(|id| there.run(&["show", id, "--json"]).json())
        .collect();
    let states = ["revoked", "revoked", "live", "live", "live"];
    for (shown, state) in now.iter().zip(states) {
        assert_eq!(shown["state"], state, "{shown}");
    }
    assert_eq!(now[0]["revocation_reason"], "key_compromise");
    assert_eq!(now[0]["version"], 4);
    assert_eq!(now[2]["scopes"], serde_json::json!(["a"]));
    assert_eq!(now[2]["version"], 3);
    assert_eq!(now[3]["scopes"], serde_json::json!(["b"]));
    assert_eq!(there.verdict(&keys[0].0), "revoked");
    assert_eq!(there.verdict(&keys[1].0), "revoked");
    let settled = records(&PostgresStore::connect(&postgres).await.unwrap()).await;
    assert_eq!(shell.copy(&shell.store, &postgres), copied(0, 0, 5));
    let after = records(&PostgresStore::connect(&postgres).await.unwrap()).await;
    assert_eq!(after, settled);

    // Back, the source learns what the target has withdrawn, of a key that is revoked in both too.
    assert_eq!(shell.copy(&postgres, &shell.store), copied(0, 3, 2));
    assert_eq!(shell.verdict(&keys[1].0), "revoked");
    let shown = shell.run(&["show", ids[3], "--json"]).json();
    assert_eq!(shown["scopes"], serde_json::json!(["b"]));
}

/// The target loses the label that it had, so a copy says so.
#[test]
fn a_copy_says_how_many_descriptions_it_changed() {
    let shell = Shell::new();
    let (_, id) = shell.mint(&["issue", "--subject", "alice"]);
    shell.mint(&["issue", "--subject", "bob"]);
    let target = shell.another("target.db");
    assert_eq!(shell.copy(&shell.store, &target), copied(2, 0, 0));
    assert_eq!(
        shell
            .run(&["describe", &id, "--label", "build server"])
            .code,
        0
    );
    let said = "0 copied, 1 updated (1 with another label or metadata), 1 already there, \
                0 unreadable, 0 conflicts\n";
    assert_eq!(shell.copy(&shell.store, &target), ran(0, "", said));
    assert_eq!(shell.copy(&shell.store, &target), copied(0, 0, 2));
}

#[tokio::test]
async fn invariant_1_a_record_that_was_widened_by_hand_does_not_widen_the_copy() {
    let shell = Shell::new();
    let (_, id) = shell.mint(&["issue", "--subject", "alice", "--scope", "read"]);
    shell.mint(&["issue", "--subject", "bob", "--scope", "read"]);
    let target = shell.another("target.db");
    assert_eq!(shell.copy(&shell.store, &target), copied(2, 0, 0));
    let before = records(&*sqlite(&target)).await;
    let connection = shell.connection();
    unguarded(&connection, || {
        let wider = "UPDATE api_keys SET scopes = 'read write', expires_at = NULL, version = 2 WHERE id = ?1";
        assert_eq!(connection.execute(wider, [&id]).unwrap(), 1);
    });
    let (_, new) = shell.mint(&["issue", "--subject", "carol"]);
    let why = "it has a higher version and more authority than the record of the target; a copy never \
         adds authority to a key";
    let expected = passed_over(&id, why, &line(1, 0, 1, 0, "1 conflict"));
    assert_eq!(shell.copy(&shell.store, &target), expected);
    let mut after = records(&*sqlite(&target)).await;
    after.retain(|(record, _)| record.id.as_str() != new);
    assert_eq!(after, before);

    // In JSON the counts are on standard output, and what was passed over on standard error.
    let ran = shell.run(&["copy", &target, "--json"]);
    assert_eq!(ran.code, 7);
    let counts = serde_json::json!({
        "copied": 0, "updated": 0, "described": 0, "there": 2, "unreadable": 0, "conflicts": 1,
    });
    assert_eq!(ran.json(), counts);
    let lines: Vec<serde_json::Value> = ran
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{ran:?}");
    assert!(lines[0]["warning"].as_str().unwrap().contains(&id));
    assert_eq!(lines[1]["error"]["code"], 7);
    assert_eq!(lines[1]["error"]["kind"], "partial");
}

#[tokio::test]
async fn r32_records_that_cannot_be_read_are_named_and_their_revocations_reach_the_copy() {
    let shell = Shell::new();
    let keys: Vec<_> = (0..3)
        .map(|_| shell.mint(&["issue", "--subject", "alice", "--scope", "read"]))
        .collect();
    let ids: Vec<&str> = keys.iter().map(|(_, id)| id.as_str()).collect();
    let target = shell.another("target.db");
    assert_eq!(shell.copy(&shell.store, &target), copied(3, 0, 0));
    let connection = shell.connection();
    unguarded(&connection, || {
        let damage = "UPDATE api_keys SET metadata = '[]' WHERE id IN (?1, ?2)";
        assert_eq!(connection.execute(damage, [ids[0], ids[1]]).unwrap(), 2);
    });
    assert_eq!(shell.run(&["revoke", ids[1]]).code, 0);
    let ran = shell.copy(&shell.store, &target);
    assert_eq!(ran.code, 7, "{ran:?}");
    let lines: Vec<&str> = ran.stderr.lines().collect();
    let mut unreadable = ids[..2].to_vec();
    unreadable.sort_unstable();
    for (line, id) in lines.iter().zip(&unreadable) {
        assert_eq!(
            *line,
            format!(
                "tower-api-key: warning: the store is damaged: the record of the key {id} cannot be read; \
                 revoke the key, or restore the record: the column metadata cannot hold or be this value: \
                 invalid type: sequence, expected a map at line 1 column 0"
            )
            .as_str()
        );
    }
    assert_eq!(
        lines[2..],
        [
            line(0, 0, 1, 2, "0 conflicts").trim_end(),
            "tower-api-key: 2 records were not copied; see the warnings",
        ]
    );
    let copy = shell.over("sqlite:target.db");
    assert_eq!(copy.verdict(&keys[0].0), "accepted");
    assert_eq!(copy.verdict(&keys[1].0), "revoked");
    assert_eq!(copy.verdict(&keys[2].0), "accepted");

    // A record of the target that cannot be read is revoked if that of the source is.
    assert_eq!(shell.run(&["revoke", ids[2]]).code, 0);
    let path = target.strip_prefix("sqlite:").unwrap();
    let connection = Connection::open(path).unwrap();
    unguarded(&connection, || {
        let damage = "UPDATE api_keys SET metadata = '[]' WHERE id = ?1";
        assert_eq!(connection.execute(damage, [ids[2]]).unwrap(), 1);
    });
    let ran = shell.copy(&shell.store, &target);
    let why = format!(
        "the key {} in the realm orders was not copied: the record of the target cannot",
        ids[2]
    );
    assert!(ran.code == 7 && ran.stderr.contains(&why), "{ran:?}");
    let revoked = "SELECT count(*) FROM api_keys WHERE id = ?1 AND revoked_at IS NOT NULL";
    let count: i64 = connection
        .query_row(revoked, [ids[2]], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn different_records_of_one_id_or_digest_are_named_and_the_rest_is_copied() {
    let shell = Shell::new();
    let source = sqlite(&shell.store);
    put(&*source, (0..10).map(|number| bare(number, "orders"))).await;
    // What no column takes in, though it may come to it.
    let connection = shell.connection();
    unguarded(&connection, || {
        let last = "UPDATE api_keys SET version = 9223372036854775807 WHERE id = '000000000005'";
        assert_eq!(connection.execute(last, []).unwrap(), 1);
    });
    for target in [shell.another("target.db"), database().await] {
        let store: Arc<dyn KeyStore> = match target.strip_prefix("sqlite:") {
            Some(_) => sqlite(&target),
            None => Arc::new(PostgresStore::connect(&target).await.unwrap()),
        };
        let mut of_one_id = bare(1, "orders");
        of_one_id.digest = KeyDigest::sha256(b"another");
        let mut of_one_digest = bare(99, "orders");
        of_one_digest.digest = bare(2, "orders").digest;
        let in_another_realm = bare(3, "billing");
        let mut of_bob = bare(4, "orders");
        of_bob.subject = "bob".parse().unwrap();
        let held = [of_one_id, of_one_digest, in_another_realm, of_bob];
        put(&*store, held.clone()).await;
        let ran = shell.copy(&shell.store, &target);
        assert_eq!(ran.code, 7, "{ran:?}");
        let taken = "another record of the target has its id or its digest";
        for (number, why) in [
            (1, "another key of the target has its id"),
            (2, taken),
            (3, taken),
            (4, "its subject is different in the target"),
            (5, "the store is unavailable: "),
        ] {
            let named = format!("the key {number:012} in the realm orders was not copied: {why}");
            assert!(ran.stderr.contains(&named), "{number} {ran:?}");
        }
        let counts = line(5, 0, 0, 0, "5 conflicts");
        assert!(ran.stderr.contains(&counts), "{ran:?}");
        let after = records(&*store).await;
        for parts in held {
            assert!(after.contains(&(parts, Default::default())));
        }
        for number in [0, 6, 7, 8, 9] {
            assert!(after.contains(&(bare(number, "orders"), Default::default())));
        }
        assert_eq!(after.len(), 9);
        let again = shell.copy(&shell.store, &target);
        assert!(
            again.stderr.contains(&line(0, 0, 5, 0, "5 conflicts")),
            "{again:?}"
        );
    }
}

#[test]
fn a_keys_file_is_a_source_and_no_target() {
    let shell = Shell::new();
    let minted = shell.run(&[
        "mint",
        "--subject",
        "alice",
        "--scope",
        "read",
        "--scope",
        "write",
    ]);
    let key = minted.stdout.trim_end();
    let path = shell.folder.path().join("keys.toml");
    std::fs::write(&path, &minted.stderr).unwrap();
    assert_eq!(shell.copy("file:keys.toml", &shell.store), copied(1, 0, 0));
    assert_eq!(shell.verdict(key), "accepted");
    assert_eq!(shell.copy("file:keys.toml", &shell.store), copied(0, 0, 1));

    // Each time that the file takes something away, the store follows.
    for (scopes, left) in [("[\"read\"]", "read"), ("[]", "")] {
        let text = std::fs::read_to_string(&path).unwrap();
        let start = text.find("scopes = ").unwrap() + "scopes = ".len();
        let end = start + text[start..].find('\n').unwrap();
        std::fs::write(&path, format!("{}{scopes}{}", &text[..start], &text[end..])).unwrap();
        assert_eq!(shell.copy("file:keys.toml", &shell.store), copied(0, 1, 0));
        assert_eq!(shell.copy("file:keys.toml", &shell.store), copied(0, 0, 1));
        let shown = shell.run(&["show", &key[5..17], "--json"]).json();
        let left: Vec<&str> = left.split_terminator(' ').collect();
        assert_eq!(shown["scopes"], serde_json::json!(left));
    }

    let refused = failed(
        2,
        "a keys file cannot be the target of a copy, because it is edited by hand; copy to \
         sqlite:PATH or postgres://USER@HOST/DATABASE",
    );
    assert_eq!(shell.copy(&shell.store, "file:keys.toml"), refused);
    assert_eq!(shell.copy(&shell.store, "file:none.toml"), refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_made_by_migrate_alone() {
    let shell = Shell::new();
    let none = shell.folder.path().join("none.db");
    let ran = shell.copy(&shell.store, &format!("sqlite:{}", none.display()));
    assert_eq!((ran.code, ran.stdout.as_str()), (5, ""), "{ran:?}");
    assert!(
        ran.stderr
            .contains("use tower-api-key migrate to create it\n"),
        "{ran:?}"
    );
    assert!(!none.exists());
    let postgres = empty_database().await;
    let ran = shell.copy(&shell.store, &postgres);
    assert_eq!((ran.code, ran.stdout.as_str()), (5, ""), "{ran:?}");
    assert!(ran.stderr.contains("migrate"), "{ran:?}");
    assert_eq!(
        shell.copy(&shell.store, &shell.store),
        failed(
            2,
            "the source and the target are the same store; name another target"
        )
    );
    assert_eq!(
        shell.copy(&shell.store, "keys.db"),
        failed(
            2,
            "invalid store; write sqlite:PATH, postgres://USER@HOST/DATABASE or file:PATH"
        )
    );
}

#[tokio::test]
async fn a_realm_that_is_named_is_copied_alone_and_it_says_so() {
    let shell = Shell::new();
    let store = sqlite(&shell.store);
    for (number, realm) in [(1, "orders"), (2, "billing")] {
        put(&*store, [bare(number, realm)]).await;
    }
    let target = shell.another("target.db");
    let note = "tower-api-key: note: only the realm orders is copied, because --realm or \
                TOWER_API_KEY_REALM names it; the store also has keys in: billing\n";
    let counts = line(1, 0, 0, 0, "0 conflicts");
    assert_eq!(
        shell.run(&["copy", &target]),
        ran(0, "", &format!("{note}{counts}"))
    );
    assert_eq!(
        records(&*sqlite(&target)).await,
        [(bare(1, "orders"), Default::default())]
    );
    assert_eq!(shell.copy(&shell.store, &target), copied(1, 0, 1));

    // No store names more than a hundred realms.
    put(
        &*store,
        (10..110).map(|number| bare(number, &format!("r{number}"))),
    )
    .await;
    let refused = failed(
        2,
        "the store has 100 realms or more, and does not list the others; copy each realm with \
         --realm",
    );
    assert_eq!(shell.copy(&shell.store, &target), refused);
    let one = shell.run(&["copy", &target, "--realm", "r109"]);
    assert_eq!(one.code, 0, "{one:?}");
    assert_eq!(records(&*sqlite(&target)).await.len(), 3);
}

/// A trigger of the target's owner that refuses each new record with this SQLSTATE, if its id meets a
/// condition.
fn refusing(state: &str, condition: &str) -> String {
    format!(
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END$$; \
         CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON tower_api_keys FOR EACH ROW \
         WHEN ({condition}) EXECUTE FUNCTION refuse()"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_a_target_breaks_off_is_completed_by_the_next() {
    let shell = Shell::new();
    let source = sqlite(&shell.store);
    put(&*source, (0..450).map(|number| bare(number, "orders"))).await;
    let postgres = database().await;
    let refuse = async |state, condition| {
        let refusing = refusing(state, condition);
        execute(&postgres, &refusing).await.unwrap();
    };
    let end = "some records were not copied; run the command again: it skips those that were\n";
    // Read-only from the second commit on.
    refuse("25006", "NEW.id = '000000000250'").await;
    let ran = shell.copy(&shell.store, &postgres);
    assert_eq!((ran.code, ran.stdout.as_str()), (5, ""), "{ran:?}");
    let counts = line(200, 0, 0, 0, "0 conflicts");
    assert!(ran.stderr.starts_with(&counts), "{ran:?}");
    assert!(ran.stderr.ends_with(end), "{ran:?}");
    // A full disk, as it may be, which has nothing to do with a record.
    refuse("53100", "true").await;
    let ran = shell.copy(&shell.store, &postgres);
    assert_eq!((ran.code, ran.stdout.as_str()), (5, ""), "{ran:?}");
    assert!(ran.stderr.ends_with(end), "{ran:?}");
    // One record that the target refuses keeps no other out.
    refuse("23514", "NEW.id = '000000000250'").await;
    let ran = shell.copy(&shell.store, &postgres);
    assert_eq!((ran.code, ran.stdout.as_str()), (7, ""), "{ran:?}");
    let counts = line(249, 0, 200, 0, "1 conflict");
    assert!(ran.stderr.contains(&counts), "{ran:?}");
    let named = "the key 000000000250 in the realm orders was not copied: the store is unavailable";
    assert!(ran.stderr.contains(named), "{ran:?}");
    let drop = "DROP TRIGGER refuse ON tower_api_keys";
    execute(&postgres, drop).await.unwrap();
    assert_eq!(shell.copy(&shell.store, &postgres), copied(1, 0, 449));
    let there = PostgresStore::connect(&postgres).await.unwrap();
    assert_eq!(records(&there).await, records(&*source).await);
}
