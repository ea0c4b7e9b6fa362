//! Managing keys from a shell, while servers run.
//!
//! This package has the program `tower-api-key`: `cargo install tower-api-key-cli`, or, in a clone of the
//! repository, `cargo install --path crates/cli`. It opens the store of a service that is built on
//! [`tower-api-key`](tower_api_key). The next request sees its changes, because each request reads SQLite
//! or Postgres. A service that follows the store with a replica sees them at its next pull. The library of the package is this page and has no items: a program calls
//! [`KeyRing`](tower_api_key::KeyRing).
//!
//! Use the store, the prefix and the realm with which the service builds its ring (the command warns if
//! the newest keys of the realm have another prefix):
//!
//! ```sh
//! export TOWER_API_KEY_STORE=sqlite:/var/lib/orders/keys.db
//! export TOWER_API_KEY_PREFIX=acme TOWER_API_KEY_REALM=orders
//! tower-api-key migrate
//! KEY=$(tower-api-key issue --subject alice --scope orders:read)
//! echo "$KEY" | tower-api-key check --require orders:read
//! ```
//!
//! `migrate` creates the store: a file for `sqlite:`, tables for `postgres://…`. A key is named by its
//! id, the 12 characters before its last `_`, alone or with the prefix: `0123456789Ab` or
//! `acme_0123456789Ab`. With `-` in the place of the id, the key is read from standard input. After this
//! rotation, the old and the new key work for twelve hours, and the command says until when:
//!
//! ```sh
//! ID=$(echo "$KEY" | awk -F_ '{ print $(NF - 1) }')
//! NEW=$(tower-api-key rotate "$ID" --grace 12h)
//! tower-api-key list --subject alice
//! tower-api-key revoke "$ID" --reason superseded
//! ```
//!
//! `tower-api-key --help` lists the commands. `tower-api-key completions bash` and `tower-api-key man`
//! write shell completions and a manual page.
//!
//! # A key has leaked
//!
//! Copy the line that holds the key, from the log, the chat or the commit, and paste it when the
//! command asks for it. Or save it to a file:
//!
//! ```sh
//! tower-api-key show - < leaked.txt                             # whose key it is
//! tower-api-key revoke - --reason key_compromise < leaked.txt   # the next request is refused
//! ```
//!
//! The key is found in any text: in quotes, in a URL, in JSON, with colours around it. It is not
//! repeated. `revoke` names the other keys of the lineage that still work, if the key was rotated or
//! came from a rotation. They may have leaked in the same place:
//!
//! ```sh
//! tower-api-key revoke --lineage - --reason key_compromise < leaked.txt
//! tower-api-key list --subject alice --unrevoked                # what else the holder has
//! tower-api-key revoke --subject alice --reason key_compromise  # all of it, if in doubt
//! ```
//!
//! If the holder must be able to go on working, replace the key instead. The old key and all others of
//! its lineage end in the same commit:
//!
//! ```sh
//! NEW=$(tower-api-key rotate - --now < leaked.txt)
//! ```
//!
//! Then remove the text: `rm leaked.txt`.
//!
//! A text can be made up, and ids are public. So a pasted key counts only if its digest matches the
//! record. If it does not, nothing is changed, and the command says which id the text names. A ring with
//! a pepper needs `--pepper` or `TOWER_API_KEY_PEPPER` for this. A key that a log has cut or masked
//! (`acme_0123456789Ab_…`) is an id, and is given as an argument.
//!
//! # Restricting a key
//!
//! A caveat restricts a key to clients in a network or with a certificate
//! ([guide](tower_api_key::guide::restricting)). It can be added and never removed:
//!
//! ```sh
//! JOB=$(tower-api-key issue --subject nightly --scope orders:read --caveat net=10.0.0.0/8)
//! JOB_ID=$(echo "$JOB" | awk -F_ '{ print $(NF - 1) }')
//! tower-api-key narrow "$JOB_ID" --caveat net=10.1.0.0/16
//! echo "$JOB" | tower-api-key check --client-address 10.1.2.3
//! ```
//!
//! The program grants caveats of every kind that it knows, because it cannot see the layers of the service.
//! A layer without a source of the fact refuses the key. Without `--client-address` or
//! `--client-certificate`, `check` does not accept a key with such a caveat.
//!
//! # Naming a key
//!
//! Label and metadata are for people and for the application, and no authority. They can be changed, of a
//! dead key too. Metadata is replaced as a whole:
//!
//! ```sh
//! tower-api-key describe "$ID" --label 'build server' --metadata team=blue
//! ```
//!
//! # Keys that need attention
//!
//! `audit` finds keys that are unused, that end soon or never, that were replaced and are still used, that have scopes which
//! no request needs, and that are used from a new network
//! ([guide](tower_api_key::guide::reports)). Under each finding is the command that mends it, to be run with the
//! same store and realm. If there is a finding, the exit code is 8:
//!
//! ```sh
//! tower-api-key audit
//! tower-api-key audit --unused-for 30d --ignore no_expiry --json | jq -r '.[].findings[].command'
//! ```
//!
//! With `--json`, standard output is an array of the records of such keys, each with `findings`: `kind`, `at`, `command`,
//! `replaced_by` for a replaced key, `scopes` for those that were never exercised, and `network` for a new one. The array is written while the keys are read, so it is not complete if the exit code
//! is 5 or 6. What is unused is known only if the service tracks uses, and what is never exercised or new if it tracks
//! that. `show` prints what is known of a key.
//!
//! # What is a secret
//!
//! The plaintext of a new key is written to standard output, once, and nowhere else. The description of
//! the key goes to standard error. With `--json` standard output is an object with `key` and `record`,
//! after `rotate` and `regrant` also `replaced`. If standard output is closed, or is `/dev/null`, no key
//! is made. If it fails later, the new key is revoked, and the error says so.
//!
//! A plaintext is never an argument, because other users can see the arguments of a process: `check`,
//! `import` and `-` read it from standard input. White space, byte order marks and other invisible
//! characters around it are removed, with a warning. An error does not repeat a text that looks like a
//! key, or a password in a URL. A pepper is named by an environment variable or a file: `--pepper
//! 2=env:PEPPER`. Put the URL of a Postgres server into `TOWER_API_KEY_STORE` or leave the password to
//! `PGPASSWORD`.
//!
//! # Policy
//!
//! The limits of a ring are in the code of the service, and the program cannot see them. Repeat those
//! that are not the defaults:
//!
//! | option | variable | default |
//! |---|---|---|
//! | `--max-lifetime` | `TOWER_API_KEY_MAX_LIFETIME` | 90d |
//! | `--max-grace` | `TOWER_API_KEY_MAX_GRACE` | 24h |
//! | `--grantable-scope` | `TOWER_API_KEY_GRANTABLE_SCOPES`, with spaces between | all |
//! | `--max-keys-per-subject` | `TOWER_API_KEY_MAX_KEYS_PER_SUBJECT` | any number |
//! | `--retention` | `TOWER_API_KEY_RETENTION` | 30d |
//! | `--accept-imports` | `TOWER_API_KEY_ACCEPT_IMPORTS` | no |
//! | `--pepper` | `TOWER_API_KEY_PEPPER` | none |
//! | `--earlier-pepper` | `TOWER_API_KEY_EARLIER_PEPPERS`, with `;` between | none |
//!
//! Without `--max-lifetime`, `rotate` does not fail: it shortens the new key to 90 days. It warns on
//! standard error, with the option that keeps the lifetime. `regrant` and `import` warn if no end was
//! named. Anyone who can write to the store can do everything that the program can.
//!
//! # A store that cannot be written to
//!
//! `list`, `show` and `check` work for a user who may only read the store. If a server has a SQLite
//! store open, it is opened read-only. For that the user must be able to read the file, its log (`-wal`)
//! and the index of the log (`-shm`). If no process has the store open, SQLite would have to create the
//! index. The commands copy the file and its log to a temporary folder instead, and read the copy. So
//! they leave nothing next to the store that its owner cannot write to.
//!
//! # Keys from elsewhere
//!
//! `import` reads a key from standard input, or a file of them with `--batch`: see
//! [moving keys from elsewhere](tower_api_key::guide::moving). An imported key has no default lifetime.
//!
//! # From one store to another
//!
//! `copy` brings the records of one store to another: from a SQLite store to Postgres, from Postgres to a
//! SQLite store, or from a keys file to either. The keys stay the same, because the digests are copied. The
//! services that read the copy need the prefix, the realm and the peppers of the source.
//!
//! ```sh
//! unset TOWER_API_KEY_REALM             # all realms, not one
//! export PGPASSWORD=...
//! tower-api-key migrate --store postgres://app@db/app
//! tower-api-key copy postgres://app@db/app --store sqlite:/var/lib/orders/keys.db
//! ```
//!
//! A record is copied with all its fields and its last use. If `--realm` or its variable names a realm,
//! only that realm is copied, and a note says so if the source has others. A store names at most 100 of its
//! realms. If it may have more, the command copies none, and each is copied with `--realm`.
//!
//! **A copy of a store that is written to is not one state.** It is read in pages. A key that is issued,
//! revoked or rotated meanwhile may be copied as it was before, or not at all. To finish, stop the writers
//! of the source, and run `copy` again. The second run is short, because it writes only what has changed.
//! Then start the services with the new store. Run no `purge` between the two runs. A key that is revoked
//! and removed in the source stays live in the target, and a record that is removed from the target is
//! copied again. A revocation of a subject or a lineage in the target ends the keys that are there by then,
//! not those that are copied later.
//!
//! A record that the target has is only ever given less authority:
//!
//! - If it is revoked in the source, it is revoked in the target, whatever the versions are. If it is
//!   revoked in the target, it stays as it is.
//! - Otherwise it gets the scopes that both have, the caveats of both, and the earlier ends. A record of the
//!   target with less authority than that of the source stays as it is. If that of the source has a higher
//!   version all the same, it was changed by hand, or it was narrowed in the target and described in the
//!   source. It is named as a conflict.
//! - Label and metadata are no authority. The target gets those of the higher version. If the versions are
//!   equal and the texts are not, it is named as a conflict.
//! - Records of one id or one digest that are not the same key, or that differ in a field that never
//!   changes, are a conflict. Each is named on standard error, and the others are copied.
//! - A record that the source cannot read is named and not copied. If it is revoked in the source, it is
//!   revoked in the target.
//! - Until a run has ended with code 0, the target may have both a key and the key that it was replaced by. Let
//!   no service use the target before.
//! - A record that only the target has stays there. A copy removes nothing. A key that was taken out of a
//!   keys file has to be revoked in the target.
//!
//! Standard error has the counts, and a line of progress after each 10 000 records. With `--json`, standard
//! output is an object of the counts `copied`, `updated`, `described` (those of the updated that got another label or
//! other metadata), `there`, `unreadable` and `conflicts`. After conflicts or unreadable records the exit code
//! is 7. After any error the command can be run again.
//!
//! The target is an argument, which other users of the machine can see. Leave the password of a Postgres
//! server to `PGPASSWORD` or `~/.pgpass`. A keys file cannot be the target.
//!
//! # Exit codes
//!
//! An error is one line on standard error. With `--json` it is an object with `error`, which has `code`,
//! `kind` and `message`. A warning is an object with `warning`, and a note is one with `note`. After an
//! error nothing was changed, except:
//!
//! - with code 6: the message says whether the new key was revoked;
//! - with code 7: the results have the outcome of each line, or the warnings name each record that was
//!   not copied. A batch that ends with 5 or 6 has imported the lines that its results name. Run it
//!   [again](tower_api_key::guide::moving#a-batch);
//! - with code 5: a Postgres that lost its connection may have applied the change, a `purge` may have
//!   removed a part, and a `copy` may have copied one, which the next run completes;
//! - with code 4 of `revoke --subject`: some of the keys may be revoked.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done; for `check`: the key is accepted |
//! | 1 | refused, because of the policy or the state of the key; for `check`: the key is not accepted |
//! | 2 | the arguments, or the text on standard input, are invalid |
//! | 3 | the realm has no such key, or the subject has no key |
//! | 4 | conflict: another writer changed the record first, or the store already has the key |
//! | 5 | the store cannot be used: it is unreachable, busy, read-only, damaged or of another version |
//! | 6 | standard output cannot be written to; a new key was not made, or was revoked |
//! | 7 | some lines of `import --batch` were not imported, or some records were not copied; all others were |
//! | 8 | `audit` has findings |
//!
//! # A keys file
//!
//! [`FileStore`](tower_api_key_file::FileStore) reads a file that people write. `mint` makes a key for it and
//! writes its entry to standard error, to be pasted. `list`, `show` and `check` read the file, and so
//! show whether a service would accept it.

#![forbid(unsafe_code)]
