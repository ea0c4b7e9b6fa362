//! Moving keys from elsewhere: keys that another system minted keep working.
//!
//! The holders of the keys notice nothing. Each key is moved as its subject, its authority, and a digest
//! of it. How it is moved depends on what the old system keeps:
//!
//! | the old system keeps | action | kind in a batch |
//! |---|---|---|
//! | the key itself | [import it](#a-batch) | `plaintext` |
//! | SHA-256 of the key, in hexadecimal | [import it](#a-batch) | `sha256-hex` |
//! | SHA-256 of the key, in base64 | [import it](#a-batch) | `sha256-base64`, `sha256-base64url` |
//! | SHA-256 of the token, which clients present as `id\|token` (Laravel Sanctum) | [import it into a ring that accepts such tokens](#laravel-sanctum) | `sanctum` |
//! | bcrypt, Argon2, PBKDF2, scrypt | [be asked](#slow-and-foreign-hashes) when the key is presented | – |
//! | `prefix.secret` with SHA-512 of the secret, or any hash except SHA-256 of the whole key | [be asked](#slow-and-foreign-hashes) when the key is presented | – |
//! | HMAC-SHA-256, or SHA-256 with a salt | [be asked](#slow-and-foreign-hashes) when the key is presented | – |
//!
//! A hash cannot be turned into another, so the last three are not possible in a batch. They move one by
//! one, when their holders present them.
//!
//! The ring that serves such keys is built with
//! [`accept_imports`](crate::KeyRingBuilder::accept_imports). A new key of the ring's own format is
//! better than an old one in three ways: its id is fit for logs, it is recognised in a URL, and scanners
//! find it. So end old keys when their holders can have new ones: [`regrant`](crate::KeyRing::regrant)
//! an imported key like any other.
//!
//! # When a moved key ends
//!
//! An import says when the key ends. There is no default, because a default would end an integration on
//! a day that no one chose:
//!
//! ```
//! use std::time::Duration;
//! use tower_api_key::{ErrorKind, Grant, Import, KeyRing, Timestamp, store::MemoryStore};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # let store = MemoryStore::new();
//! let importing = KeyRing::builder("acme")
//!     .accept_imports()
//!     .unlimited_lifetime()
//!     .build(store.clone())?;
//!
//! // The expiry and the day of issue are kept.
//! let old = Grant::new("alice")
//!     .scopes(["orders:read"])
//!     .expires_at(Timestamp::from_rfc3339("2099-01-01T00:00:00Z")?);
//! let old = Import::new(old).issued_at(Timestamp::from_rfc3339("2024-05-06T07:08:09Z")?);
//! let record = importing.import_plaintext(old, "sk_old_4f9A7YqZr01mLw8Vx6pTe2Nd").await?;
//! assert_eq!(record.issued_at().to_rfc3339(), "2024-05-06T07:08:09Z");
//!
//! // It has a year from now on, or never ends.
//! let year = Grant::new("bob").expires_in(Duration::from_secs(365 * 24 * 60 * 60));
//! importing.import_plaintext(year, "sk_old_u71Bc9XyQw33rTzLm0PoVe5s").await?;
//! let never = Grant::new("carol").never_expires();
//! importing.import_plaintext(never, "sk_old_Hh28sKd01lqPxYv7Nn3bRt6W").await?;
//!
//! let unsaid = importing.import_plaintext(Grant::new("dave"), "sk_old_8sJd72hGf6sK2lPq9Xv4Mn1B").await;
//! assert_eq!(unsaid.unwrap_err().kind(), ErrorKind::ExpiryNotSaid);
//!
//! // The ring that serves them may grant less: it judges what was granted, not for how long.
//! let serving = KeyRing::builder("acme").accept_imports().build(store)?;
//! assert_eq!(serving.verify(b"sk_old_Hh28sKd01lqPxYv7Nn3bRt6W").await?.subject(), "carol");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! An expiry beyond the ring's [`max_lifetime`](crate::KeyRingBuilder::max_lifetime), 90 days by
//! default, is refused and not shortened. The lifetime counts from the import. Import with a longer or
//! unlimited lifetime, as above, or choose an earlier end. If a ring of 90 days rotates such a key, the
//! successor gets 90 days.
//!
//! A key that has expired need not be moved: it is refused as unknown.
//!
//! # A batch
//!
//! Write the old system's records to a file, one key on each line, and name the kind of each key:
//!
//! ```text
//! kind        key                                  subject  scopes       expires_at            issued_at
//! plaintext   sk_old_4f9A7YqZr01mLw8Vx6pTe2Nd      alice    orders:read  2031-01-01T00:00:00Z  2024-05-06T07:08:09Z
//! sha256-hex  9f86d081884c7d659a2feaa0c55ad015a…   bob      orders:read  never                 1715000000
//! ```
//!
//! In TSV there is one tab between two columns, the first line names them, and an empty field is one
//! that is not there. There are no quotes and no escapes: a field in quotes and a field with `\` are
//! refused. NDJSON has an object on each line, with the same names:
//!
//! ```json
//! {"kind":"plaintext","key":"sk_old_4f9A7YqZr01mLw8Vx6pTe2Nd","subject":"alice","scopes":["orders:read"],"expires_at":"never","metadata":{"plan":"gold"}}
//! ```
//!
//! | column or field | meaning |
//! |---|---|
//! | `kind` | `plaintext`, `sha256-hex`, `sha256-base64`, `sha256-base64url` or `sanctum`; `--kind` for lines without one. It is never guessed |
//! | `key` | the key, its hash, or the column `token` of Sanctum |
//! | `id` | the id of a Sanctum token |
//! | `subject` | whose key it is |
//! | `scopes` | its scopes, with a space between two; in NDJSON a list or such a text |
//! | `caveats` | its caveats, in the same way; none if left out |
//! | `expires_at` | RFC 3339 with an offset or `Z`, Unix seconds, or `never`; `--expires-at`, `--expires-in` or `--never-expires` for lines without one |
//! | `issued_at`, `not_before` | RFC 3339 or Unix seconds; default: now |
//! | `label`, `metadata.NAME` | as of any key; in NDJSON `metadata` is an object |
//!
//! Nearly every database writes NDJSON with correct escapes, for example Postgres:
//!
//! ```sh
//! psql -At old > old.ndjson <<'SQL'
//! SELECT json_build_object('kind', 'sha256-hex', 'key', key_hash, 'subject', owner,
//!     'scopes', scopes, 'issued_at', extract(epoch FROM created_at)::bigint,
//!     'expires_at', coalesce(extract(epoch FROM expires_at)::bigint::text, 'never'))
//! FROM api_keys WHERE revoked_at IS NULL
//! SQL
//! ```
//!
//! Then try it, run it, and look at the result:
//!
//! ```sh
//! tower-api-key import --batch old.ndjson --max-lifetime unlimited --dry-run
//! tower-api-key import --batch old.ndjson --max-lifetime unlimited > results.tsv
//! grep -P '\tfailed\t' results.tsv
//! ```
//!
//! Standard output has a line for each line of the input: its number, the first being 1, the result, and
//! the id of the key or the cause. No key and no digest is repeated. The counts go to standard error.
//! With `--json` each result is an object, and the last object has the counts.
//!
//! | result | meaning |
//! |---|---|
//! | `imported` | the key is in the store now; in a dry run `would_import` |
//! | `present` | it was there already, unchanged; its state follows if it is not live |
//! | `ended` | it has expired, and there is nothing to import |
//! | `failed` | the cause follows; nothing was imported for this line, the others were |
//!
//! The exit code is 0 if no line failed, and 7 if one did. A line that failed does not prevent the
//! import of others. If an import was interrupted, run it again: keys that are already there are skipped. If
//! a key is there with another subject, expiry, scope or other field, its line fails, because a batch
//! changes no key.
//!
//! A hundred lines are one commit, and the memory does not grow with the file. A dry run changes
//! nothing. It remembers the keys that it would import, some 300 bytes for each, so that it sees a key
//! that is in the file twice. It does not see a key that the store holds in another realm.
//!
//! In code, use [`KeyRing::import_many`](crate::KeyRing::import_many).
//!
//! # Laravel Sanctum
//!
//! Sanctum gives a client `id|token`, and keeps the SHA-256 of the part after the `|`. This crate's
//! digest covers all the bytes that a client presents, so the hash in `personal_access_tokens` is not
//! the digest of the key. A ring that [accepts Sanctum
//! tokens](crate::KeyRingBuilder::accept_sanctum_tokens) keeps a digest of the id together with that
//! hash, and computes the same digest from a presented `id|token`:
//!
//! ```
//! use tower_api_key::{Grant, KeyDigest, KeyRing, OldKey, store::MemoryStore};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let ring = KeyRing::builder("acme")
//!     .accept_sanctum_tokens()
//!     .unlimited_lifetime()
//!     .build(MemoryStore::new())?;
//! // id 42, and `SELECT token FROM personal_access_tokens WHERE id = 42`.
//! let token: KeyDigest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".parse()?;
//! let grant = Grant::new("user-7").scopes(["orders:read"]).never_expires();
//! ring.import_many([(grant.into(), OldKey::sanctum("42", token))]).await?.remove(0)?;
//!
//! assert_eq!(ring.verify(b"42|test").await?.subject(), "user-7");
//! assert!(ring.verify(b"43|test").await.is_err());
//! assert!(ring.verify(b"test").await.is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! In a batch the kind is `sanctum`, `key` is the column `token`, and `id` is the column `id`:
//!
//! ```sh
//! psql -At old > old.ndjson <<'SQL'
//! SELECT json_build_object('kind', 'sanctum', 'id', id, 'key', token, 'subject', 'user-' || tokenable_id,
//!     'scopes', abilities::json, 'label', name, 'issued_at', extract(epoch FROM created_at)::bigint,
//!     'expires_at', coalesce(extract(epoch FROM expires_at)::bigint::text, 'never'))
//! FROM personal_access_tokens
//! SQL
//! ```
//!
//! - Sanctum's ability `*` is every ability. Here no scope is, so a batch refuses such a token: name its
//!   scopes instead.
//! - The setting `expiration` of Sanctum counts from `created_at` and is in no row: compute `expires_at`
//!   from it.
//! - Sanctum also takes the token without `id|`. If clients present it that way, import it as
//!   `sha256-hex`. Such a client and one that presents `id|token` have two keys then.
//!
//! # Slow and foreign hashes
//!
//! A hash by bcrypt, Argon2 or PBKDF2, or by SHA-512 of a part of the key, can only be compared with a
//! key that is presented. A ring can [ask](crate::UnknownKeys) for each key that its store does not
//! know, once, and import the answer:
//!
//! ```
//! use tower_api_key::{Answer, Grant, Import, KeyRing, SecretKey, store::MemoryStore};
//!
//! # fn sha512(text: &str) -> [u8; 64] { let mut hash = [0; 64]; hash[..text.len().min(64)].copy_from_slice(&text.as_bytes()[..text.len().min(64)]); hash }
//! # fn equal_in_constant_time(a: &[u8; 64], b: &[u8; 64]) -> bool { a == b }
//! # struct Row { secret_sha512: [u8; 64], owner: String }
//! # async fn row_of(prefix: &str) -> Result<Option<Row>, std::io::Error> {
//! #     Ok((prefix == "pk7").then(|| Row { secret_sha512: sha512("Zr01mLw8Vx6pTe2NdUu71Bc9"), owner: "alice".into() }))
//! # }
//! /// `prefix.secret`, of which the old table has the prefix and SHA-512 of the secret.
//! async fn in_the_old_table(presented: SecretKey) -> Answer {
//!     let Some((prefix, secret)) = presented.expose().split_once('.') else { return Ok(None) };
//!     let Some(row) = row_of(prefix).await? else { return Ok(None) };
//!     if !equal_in_constant_time(&sha512(secret), &row.secret_sha512) {
//!         return Ok(None);
//!     }
//!     Ok(Some(Import::new(Grant::new(row.owner).scopes(["orders:read"]).never_expires())))
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let ring = KeyRing::builder("acme")
//!     .unlimited_lifetime()
//!     .unknown_keys(in_the_old_table)
//!     .build(MemoryStore::new())?;
//! assert_eq!(ring.verify(b"pk7.Zr01mLw8Vx6pTe2NdUu71Bc9").await?.subject(), "alice");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! [`UnknownKeys`](crate::UnknownKeys) says when the ring asks, how often and for how many keys at a
//! time, and what happens after an error. A slow hash blocks its thread, so compute it in
//! `tokio::task::spawn_blocking`, after all cheap checks: a text whose prefix is in no row needs no slow
//! hash.
//!
//! If no [`Moved`](crate::EventKind::Moved) event has come for as long as the rarest client is silent,
//! remove the question, and notify the owners of the rows that are left. Until then:
//!
//! - A key that is revoked in the old system before it has moved is not moved: the answer is `None`. A
//!   key that has moved is revoked here, because the old system is not asked for it any more.
//! - Do not purge with another program, such as `tower-api-key purge`. A ring that asks purges nothing
//!   itself: a key that was moved, revoked and purged would be asked for, and moved, again.
//!
//! # In what order
//!
//! 1. Import in a dry run, until no line fails.
//! 2. Serve with a ring that accepts imports. Both systems know the old keys.
//! 3. Import. From here on, mint and revoke only here: changes in the old system are not seen.
//! 4. Import again the keys that were minted in between: keys that are already there are skipped. Revoke by
//!    hand here a key that was revoked in between in the old system.
