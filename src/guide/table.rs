//! From your own table: a service that has tokens already.
//!
//! | the table of tokens | what to take |
//! |---|---|
//! | stays, and your code mints and ends its keys | a [`Verifier`](crate::Verifier) over it |
//! | goes, and its keys live on | a [`KeyRing`](crate::KeyRing), into which each key moves when it is first presented |
//! | goes, and its keys can be read in a batch | [`import_many`](crate::KeyRing::import_many), see [`moving`](super::moving) |
//!
//! In each case the rights of the users can stay in their own table: see
//! [`privilege`](super::privilege#rights-that-live-in-your-own-table).
//!
//! # The table stays
//!
//! A [`Verifier`](crate::Verifier) needs one look-up: the row of a digest. It has no operation that writes. An
//! [`ApiKeyLayer`](crate::ApiKeyLayer) takes it in the place of a ring, and everything about requests is the same: sources,
//! refusals, scopes, guards, caches, events. `tower_api_key_contract::table_contract` tests your look-up.
//!
//! | the table has | the digest is | the look-up |
//! |---|---|---|
//! | SHA-256 of the token | the column | `WHERE token_hash = $1` |
//! | SHA-256 in hexadecimal | the column, as text | `WHERE token_hash = encode($1, 'hex')` |
//! | the token itself | that of an index: `CREATE UNIQUE INDEX ON tokens (sha256(convert_to(token, 'UTF8')))` | `WHERE sha256(convert_to(token, 'UTF8')) = $1` |
//! | another hash | none: the keys have to [move](#the-table-goes) | – |
//!
//! Give the digest of the row back with the key, not the one that was asked for: the verifier compares all of its
//! bytes. The id of a key is that of its row, [`KeyId::from_number`](crate::KeyId::from_number). It is in events and
//! logs.
//!
//! # The table goes
//!
//! Two ways lead a key into a ring when it is first presented. If the ring asks, that is one setting,
//! [`unknown_keys`](crate::KeyRingBuilder::unknown_keys), and every request is bounded for you. If your own code finds the old row, it
//! calls [`import_or_get`](crate::KeyRing::import_or_get):
//!
//! ```
//! use std::collections::BTreeMap;
//! use tower_api_key::{Error, Grant, KeyRing, OldKey, VerifiedKey, store::MemoryStore};
//!
//! /// The old table, from a token to its owner.
//! type OldTable = BTreeMap<String, String>;
//!
//! async fn authenticate(
//!     ring: &KeyRing,
//!     old_table: &mut OldTable,
//!     presented: &str,
//! ) -> Result<Option<VerifiedKey>, Error> {
//!     // The ring comes first. A key that it knows has moved, whatever became of it.
//!     if let Ok(key) = ring.verify(presented.as_bytes()).await {
//!         return Ok(Some(key));
//!     }
//!     let Some(owner) = old_table.get(presented) else { return Ok(None) };
//!     let grant = Grant::new(owner.as_str()).scopes("sync").never_expires();
//!     ring.import_or_get(grant, &OldKey::plaintext(presented)).await?;
//!     // The key is in the ring now, and the old row ends.
//!     old_table.remove(presented);
//!     // The ring decides: the key may have been revoked there before.
//!     Ok(ring.verify(presented.as_bytes()).await.ok())
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let ring = KeyRing::builder("acme")
//!     .accept_imports()
//!     .unlimited_lifetime()
//!     .build(MemoryStore::new())?;
//! let presented = "k-4f9A7YqZr01mLw8Vx6pTe2Nd";
//! let mut old_table = OldTable::from([(presented.to_owned(), "alice".to_owned())]);
//!
//! let key = authenticate(&ring, &mut old_table, presented).await?.unwrap();
//! assert_eq!(key.subject(), "alice");
//! assert!(old_table.is_empty());
//! assert!(authenticate(&ring, &mut old_table, presented).await?.is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # How the old row ends
//!
//! **A row that stays revives its key.** The ring knows a revoked or expired key for as long as it keeps the
//! record, which is for the [`retention`](crate::KeyRingBuilder::retention). After a [purge](crate::KeyRing::purge) the key is
//! unknown, and a row that still has it would be imported anew, as a live key. So the row ends by one of these:
//!
//! - Delete it, or set its token to null, after `import_or_get` has returned, whether the key
//!   [was there](crate::Imported::was_present) or not. If the program stops in between, the next request finds the
//!   record and ends the row. Never delete it before: a failed import would lose the key.
//! - If it must stay, for a foreign key or for a report, let it no longer match: a column `moved_at` that the
//!   look-up requires to be null.
//! - A ring that [asks](crate::UnknownKeys) purges nothing, so its rows may stay until the last old key has ended.
//!   Remove the setting and the rows together then.
//!
//! Code of yours that ends a key in the old table, such as a page with a button, has to
//! [revoke](crate::KeyRing::revoke_subject) in the ring as well from the first day on. A key that has moved does not hear of its
//! row.
//!
//! # A login that mints
//!
//! If each login issues a key, and a user may have a few, [`issue_replacing_oldest`](crate::KeyRing::issue_replacing_oldest) ends the
//! oldest one in the commit that adds the new one:
//!
//! ```
//! use tower_api_key::{Error, Grant, Issued, KeyRing, store::MemoryStore};
//!
//! async fn log_in(sessions: &KeyRing, user: &str) -> Result<Issued, Error> {
//!     sessions.issue_replacing_oldest(Grant::new(user).scopes("sync")).await
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let sessions = KeyRing::builder("acme").max_keys_per_subject(5).build(MemoryStore::new())?;
//! let first = log_in(&sessions, "alice").await?;
//! for _ in 0..5 {
//!     log_in(&sessions, "alice").await?;
//! }
//! assert!(sessions.verify(first.secret().expose().as_bytes()).await.is_err());
//! # Ok::<(), Error>(())
//! # }).unwrap();
//! ```
