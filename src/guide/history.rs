//! Who changed which key: the history, and the question "who revoked that one?".
//!
//! `SqliteStore` and `PostgresStore` keep a history. Each change of a key is an entry, written in the commit of the change:
//! when, who, what, which key, and what it had before and afterwards. Statements by hand are in it too. The history
//! outlives the records: a [purge](crate::KeyRing::purge) removes a dead key, and adds an entry that says so.
//!
//! # Who revoked that one
//!
//! Say who works with the ring, once for each session or job, and take the name from the login and not from a field
//! of the request. Then ask by the id of the key, which is in logs and in the holder's bug report:
//!
//! ```
//! use tower_api_key::store::{HistoryKind, HistoryQuery, MemoryStore};
//! use tower_api_key::{Grant, KeyRing, RevocationReason, SystemClock};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! // A service has a database here, which keeps a history without being asked to.
//! let ring = KeyRing::builder("acme").build(MemoryStore::with_history(SystemClock))?;
//! let issued = ring.acting_as("sign-up")?.issue(Grant::new("alice")).await?;
//!
//! let ops = ring.acting_as("ops@example.com")?;
//! ops.revoke(issued.id(), RevocationReason::KeyCompromise).await?;
//!
//! let history = ring.history(&HistoryQuery::new().key(issued.id())).await?;
//! let revoked = history.iter().find(|it| it.kind() == HistoryKind::Revoked).unwrap();
//! assert_eq!(revoked.actor().unwrap(), "ops@example.com");
//! assert_eq!(revoked.after()["revocation_reason"], "key_compromise");
//! # Ok::<(), tower_api_key::Error>(())
//! # }).unwrap();
//! ```
//!
//! From a shell, which acts as the user of the system, by name or by number (`uid 0`), unless `--as` names another:
//!
//! ```sh
//! tower-api-key history 4f9A7YqZr01m
//! tower-api-key history --subject alice --since 7d
//! tower-api-key revoke 4f9A7YqZr01m --reason key_compromise --as ops@example.com
//! ```
//!
//! # What an entry proves
//!
//! | part | who says so |
//! |---|---|
//! | [`actor`](crate::store::HistoryEntry::actor) | the caller: the ring's code, or `--as`. `None` if nobody was named |
//! | [`role`](crate::store::HistoryEntry::role) | Postgres, which has checked who is logged in. SQLite has no roles |
//! | [`is_by_hand`](crate::store::HistoryEntry::is_by_hand) | the database: no ring has sent the statement. A session can pretend to be a ring |
//! | [`at`](crate::store::HistoryEntry::at) | the clock of the database |
//!
//! So give each service and each operator a role of its own. An application whose triggers or jobs change keys in SQL
//! says the actor of a transaction with `SELECT set_config('tower_api_key.actor', 'ops@example.com', true)`.
//!
//! An entry holds no digest, nothing of a secret, and neither the text of a label nor metadata, because nobody can
//! correct it. It says that they changed. It holds the subject and the actor.
//!
//! # Export
//!
//! `--json` writes one object a line (NDJSON), and [`HistoryEntry`](crate::store::HistoryEntry) serialises in the same
//! form with the feature `serde`. An export goes on after the place that the last one named on standard error, or
//! begins anew some minutes before its end:
//!
//! ```sh
//! tower-api-key history --oldest-first --json >> history.ndjson
//! tower-api-key history --oldest-first --json --since 1h | jq -c 'select(.kind == "revoked")'
//! ```
//!
//! In Postgres a transaction that commits late has entries that are older than some that were exported before. Let exports
//! overlap, and tell entries apart by `entry`, their [place](crate::store::HistoryEntry::place), which stays the same.
//!
//! # Retention
//!
//! Both databases refuse to update and to delete entries. [`forget_history`](crate::KeyRing::forget_history) removes those
//! that are older than a time, and leaves an entry that says how many they were and who asked for it. In Postgres only the
//! owner of the tables may call it, and those to whom the owner grants `EXECUTE` on `tower_api_key_forget_history`:
//!
//! ```sh
//! tower-api-key history --forget-older-than 730d
//! ```
//!
//! # Limits
//!
//! - The history begins with the migration. A key that was there before has no first entry.
//! - Last uses are no changes. Who used a key is in the events of requests.
//! - The owner of the tables, and who can write to a SQLite file, can disable the triggers. `history` then fails in
//!   Postgres, and `SqliteStore` answers nothing from the file.
//! - A restored SQLite backup gets the entries of the file that it replaces. A restored dump of Postgres has those of the
//!   dump. `tower-api-key copy` copies keys and no history, and is an entry for each key in the target.
//! - A keys file has no history, and a `MemoryStore` only one that it is
//!   [asked for](crate::store::MemoryStore::with_history).
