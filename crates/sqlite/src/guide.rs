//! Backup and restore of a SQLite store.
//!
//! A backup is older than the store. A key that was revoked after the backup was made is still live in
//! it. Putting a backup in the place of a store revives that key, unless the revocation is carried over.
//! `tower-api-key restore` carries it over if the present store can be read.
//!
//! # Backup
//!
//! ```sh
//! export TOWER_API_KEY_STORE=sqlite:/var/lib/orders/keys.db
//! tower-api-key backup /backup/keys-monday.db
//! ```
//!
//! The copy is one file, and holds the store as it was at one moment. Only its owner can read it. A file
//! of the same name is not overwritten. Requests and revocations go on while the copy is made. In a
//! program it is [`SqliteStore::backup`](crate::SqliteStore::backup).
//!
//! A copy of `keys.db` alone that another tool makes, such as `cp` or a snapshot of one file, lacks the
//! changes that are still in the write-ahead log. The store writes its log into the file 100 ms after
//! the last of its changes, and when its last clone is dropped. So a copy of the file holds a revocation
//! that is older than that, unless another process was reading or writing all the time. A snapshot of
//! the whole file system holds everything, if it includes `keys.db-wal`.
//!
//! # Restore
//!
//! ```sh
//! tower-api-key restore /backup/keys-monday.db
//! ```
//!
//! Each key of the backup gets the smaller authority of the backup and the present store. It is revoked
//! if it is revoked in one of them. It has the scopes that both have, and the earlier end. The rest,
//! label and metadata included, is as in the backup:
//!
//! - A key that was issued since the backup is unknown.
//! - A key that was removed by hand since the backup is live again.
//! - A key that was purged since the backup is live again, if it was live in the backup. Do not restore
//!   a backup that is older than the retention of `purge`, which is 30 days by default: a key that was
//!   revoked since a younger backup has not been purged yet.
//!
//! If there is a newer backup as well, name it: `--also-revoked-in /backup/keys-tuesday.db`.
//!
//! Servers keep running. They see the new file within a second, answer 503 while they open it, and then
//! answer from it. A server does not create or migrate a file that is put in the place of its own:
//! `restore` migrates an older schema itself.
//!
//! Replicas in memory compare the new file with what they hold, and keep refusing the keys that they have refused as revoked.
//! The new file has the shorter one of the two stalenesses. For twenty minutes,
//! [`settle`](tower_api_key::replica::Replica::settle) waits for the longest one that a replica of the former file may
//! still go by, which is ten minutes if there was no present store.
//!
//! # If the present store is lost
//!
//! If the present store cannot be read, the restore is refused. `--danger-present-is-lost` restores
//! anyway. Then every key that was revoked since the backup is live again, and nothing in the backup
//! says which. Do this:
//!
//! 1. Name every newer file that can still be read with `--also-revoked-in`: a newer backup, or a copy
//!    of the damaged file that opens.
//! 2. Revoke again the keys that your logs say were revoked since the time of the backup. The observer
//!    of a ring receives an event for each revocation, so keep those events outside the store.
//! 3. If there are no such logs, treat all keys of the backup as suspect: rotate those that are in
//!    use, and revoke the rest.
//!
//! In a program it is [`SqliteStore::restore`](crate::SqliteStore::restore).
//!
//! # To Postgres, and a backup of Postgres
//!
//! `tower-api-key copy` brings the records of one store to another, with their digests, so that every key
//! works with the copy too. To move from SQLite to Postgres:
//!
//! ```sh
//! tower-api-key migrate --store postgres://app@db/app
//! tower-api-key copy postgres://app@db/app --store sqlite:/var/lib/orders/keys.db
//! ```
//!
//! Then stop the services, run `copy` again, and start them with the new store. The first copy is not one
//! state of a store that is written to meanwhile. The second one brings what has changed since. Run no `purge`
//! in between, because a key that is revoked and removed stays live in the copy.
//!
//! A copy of Postgres in a file is a backup that needs no tools of the server:
//!
//! ```sh
//! tower-api-key migrate --store sqlite:/backup/keys-monday.db
//! tower-api-key copy sqlite:/backup/keys-monday.db --store postgres://app@db/app
//! ```
//!
//! If writers go on meanwhile, it is not one state: a key of a subject may be in it as it was before a
//! change, and another one as it was after. To restore, copy it back:
//!
//! ```sh
//! tower-api-key migrate --store postgres://app@db/app
//! tower-api-key copy postgres://app@db/app --store sqlite:/backup/keys-monday.db
//! ```
//!
//! What the present database has withdrawn stays withdrawn: a key that it has as revoked stays revoked, and
//! a narrowed one stays narrow. `pg_restore` over it does not do that. In contrast to `restore`, a copy
//! removes no record: a key that was issued since the backup stays. A key that is gone from the database,
//! because it was purged or removed by hand, is live again if it was live in the backup. If the database is
//! lost, so are its revocations, and what is said [above](#if-the-present-store-is-lost) holds. Whether all
//! realms are copied, and what else holds, is in the guide of the program `tower-api-key`.
//!
//! # Moving files by hand
//!
//! A store compares the files at its path with those that it has open, twice a second by default and at
//! each commit. If another file was moved over `keys.db`, if it was renamed, or if `keys.db-wal` or
//! `keys.db-shm` was deleted, look-ups and commits are answered 503 until the store has opened the new
//! file, which it does by itself. This is a safety net, not a procedure:
//!
//! - Between the move and the next look, up to a second, look-ups are answered from the file that was
//!   replaced. Changes that only its log held may be lost. If a process opens the file before the next
//!   look, while that log is not empty, it reads the log with the new content, which may damage it. The
//!   log is empty 100 ms after the last change.
//! - Do not copy over the file (`cp backup.db keys.db`) while a process has it open. It stays the same
//!   file. The store notices that it was written to, and reads it again, but the old content that is in
//!   the log at that moment is read with the new content, which may damage it.
//! - Do not give the file a second name. A file with hard links is refused, because each name has a
//!   log of its own.
//! - In a container, mount the folder, not the file: `-v /var/lib/orders:/data`, not
//!   `-v /var/lib/orders/keys.db:/data/keys.db`. The log lies next to the file, so a mount of the
//!   file alone has another log, and neither side sees what the other revokes. Such a file is refused.
//!   The processes on both sides must share one kernel.
//! - The path must stay reachable for the process, even after it has given up privileges or changed its
//!   root folder.
