//! Managing keys from a shell, while servers run.
//!
//! The program `tower-api-key` comes with the feature `cli`:
//! `cargo install tower-api-key --features cli`. It opens the store of a service, so what it does
//! is seen by the next request: SQLite and Postgres are read by each.
//!
//! The store, the prefix and the realm are those with which the service builds its ring:
//!
//! ```sh
//! export TOWER_API_KEY_STORE=sqlite:/var/lib/orders/keys.db
//! export TOWER_API_KEY_PREFIX=acme TOWER_API_KEY_REALM=orders
//! tower-api-key migrate
//! KEY=$(tower-api-key issue --subject alice --scope orders:read)
//! echo "$KEY" | tower-api-key check --require orders:read
//! ```
//!
//! `migrate` makes the store: a file for `sqlite:`, tables for `postgres://…`. A key is named by its
//! id, the 12 characters before its last `_`. After this rotation, old and new work for twelve hours:
//!
//! ```sh
//! ID=$(echo "$KEY" | awk -F_ '{ print $(NF - 1) }')
//! NEW=$(tower-api-key rotate "$ID" --grace 12h)
//! tower-api-key list --subject alice
//! tower-api-key revoke "$ID" --reason superseded
//! ```
//!
//! `tower-api-key --help` lists the commands, `tower-api-key completions bash` and
//! `tower-api-key man` write what a shell and a manual need.
//!
//! # What is a secret
//!
//! The plaintext of a new key is written to standard output, once, and is nowhere else: what
//! describes the key goes to standard error. With `--json` standard output is an object with `key`
//! and `record`. Where standard output is closed, no key is made; where it fails later, the new
//! key is revoked, and the error says so.
//!
//! A plaintext is never an argument, for the arguments of a process can be seen by others: `check`
//! and `import` read it from standard input. What looks like a key is not repeated in an error. A
//! pepper is named by an environment variable or a file: `--pepper 2=env:PEPPER`. Put the URL of a
//! Postgres server into `TOWER_API_KEY_STORE` or leave the password to `PGPASSWORD`.
//!
//! # Policy
//!
//! The limits of a ring are in the code of the service, where the program cannot see them. Say
//! them again where they are not the defaults: `--longest-lifetime`, `--longest-grace`,
//! `--grantable-scope`, `--keys-per-subject`. `rotate` does not fail without
//! `--longest-lifetime`: it shortens the new key to 90 days. Whoever can write to the store can do
//! what the program can.
//!
//! # Keys from elsewhere
//!
//! `import` reads a key from standard input, or a file of them with `--batch`: see
//! [moving keys from elsewhere](super::moving). An imported key has no default lifetime.
//!
//! # Exit codes
//!
//! An error is one line on standard error. Nothing was changed then, except:
//!
//! - with code 6, whose line says how things stand;
//! - with code 7, whose results say what became of each line; a batch that ends with 5 or 6 has
//!   imported what its results say, and is [run again](super::moving#a-batch);
//! - with code 5, where a Postgres that lost its connection may have applied the change, and a
//!   `purge` may have removed a part;
//! - with code 4 of `revoke --subject`, where some of the keys may be revoked.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done; for `check`: the key is accepted |
//! | 1 | refused, by the policy or because of the key's state; for `check`: the key is not accepted |
//! | 2 | the arguments, or what was read from standard input, make no sense |
//! | 3 | there is no such key in the realm |
//! | 4 | conflict: another writer was first, or the key is in the store already |
//! | 5 | the store cannot be used: unreachable, busy, read-only, of another version, or damaged |
//! | 6 | standard output cannot be written to; a new key is then revoked, or was not made |
//! | 7 | some lines of `import --batch` were not imported; the others were |
//!
//! # A keys file
//!
//! `FileStore`, of the feature `file`, reads a file that people write. `mint` makes a key for it
//! and writes its entry to standard error, to be pasted; `list`, `show` and `check` read the file,
//! and so tell whether a service would take it.
