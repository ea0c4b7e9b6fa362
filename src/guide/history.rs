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
//! # Notices of expiry
//!
//! A key that [expires soon](crate::KeyRing::upkeep) has an entry of the kind `expiry_noticed` for each step of the ring's
//! [`expiry_notices`](crate::KeyRingBuilder::expiry_notices). It is written in the commit in which the upkeep of one process claims
//! the notice. So the history has it exactly once for each key and step, however many processes there are and whichever of
//! them die. The event of the same notice is sent at most once.
//!
//! A job that must miss no notice reads the history at intervals, in any process, and keeps a table of what it has done, with the
//! key and the step as its primary key. Here it is a set:
//!
//! ```
//! use std::collections::BTreeSet;
//! use std::time::Duration;
//! use tower_api_key::store::{HistoryQuery, MemoryStore};
//! # use tower_api_key::{Clock, ManualClock, Timestamp};
//! use tower_api_key::{Grant, KeyRing, observer_fn};
//!
//! const DAY: Duration = Duration::from_secs(24 * 60 * 60);
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # let clock = ManualClock::new(Timestamp::from_unix(1_800_000_000));
//! # let store = MemoryStore::with_history(clock.clone());
//! # let ring = KeyRing::builder("acme").clock(clock.clone());
//! # /*
//! let ring = KeyRing::builder("acme");
//! # */
//! // The upkeep claims notices only if somebody listens.
//! let ring = ring.observer(observer_fn(|_| {})).build(store)?;
//! ring.issue(Grant::new("billing").expires_in(90 * DAY)).await?;
//! // A service spawns it.
//! let mut upkeep = Box::pin(ring.upkeep());
//! # let mut turn = || drop(upkeep.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())));
//!
//! let mut done = BTreeSet::new();
//! let mut mails = Vec::new();
//! # for _ in 0..2 {
//! # turn();
//! # clock.advance(60 * DAY);
//! # turn();
//! # clock.advance(DAY / 2);
//! // At each turn of the job: a day further back than the last turn.
//! # let now = clock.now();
//! # let last_turn = Timestamp::from_unix(now.as_unix() - 60);
//! let since = Timestamp::from_unix(last_turn.as_unix() - DAY.as_secs());
//! let mut query = HistoryQuery::new().oldest_first().since(since).limit(1_000);
//! loop {
//!     let page = ring.history(&query).await?;
//!     for notice in page.iter().filter_map(|entry| entry.expiry_notice()) {
//!         if done.insert((notice.id, notice.step)) {
//!             mails.push(format!("{}: {:?} left", notice.subject.unwrap_or_default(), notice.step));
//!         }
//!     }
//!     match page.next() {
//!         Some(next) => query = query.after(next),
//!         None => break,
//!     }
//! }
//! # }
//! assert_eq!(mails, ["billing: 2592000s left"]);
//! # Ok::<(), tower_api_key::Error>(())
//! # }).unwrap();
//! ```
//!
//! A key can be revoked or replaced after its notice. `ring.get(notice.id)` says whether it was.
//!
//! The day is for a transaction that commits late, and for a clock that was set back: such an entry is older than some that were
//! read before. If a database loses a commit, because a standby without it takes over or a backup is restored, it loses the
//! claim and the entry together. The notice is then claimed again, and the table of the job still knows it.
//!
//! In both databases the action is `expiry_noticed`, and `after` has `notice_step`, in seconds, and `expires_at`. Notices that were
//! claimed before the migration to version 15 of Postgres and 12 of SQLite have no entry. A statement by hand that sets
//! `noticed_step` to a narrower step is an entry by hand. A step of 0 ends the notices of a key, without an entry.
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
//! - A notice of expiry names no actor: the upkeep of any process claims it.
//! - Last uses are no changes. Who used a key is in the events of requests.
//! - The owner of the tables, and who can write to a SQLite file, can disable the triggers. `history` then fails in
//!   Postgres, and `SqliteStore` answers nothing from the file.
//! - A restored SQLite backup gets the entries of the file that it replaces. A restored dump of Postgres has those of the
//!   dump. `tower-api-key copy` copies keys and no history, and is an entry for each key in the target.
//! - A keys file has no history, and a `MemoryStore` only one that it is
//!   [asked for](crate::store::MemoryStore::with_history).
