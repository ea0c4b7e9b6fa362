//! Keys in a file that people edit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed, in its helpers too"
)]

mod lifecycle;
mod mistakes;
mod refused;
mod watching;

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use tower_api_key::store::{KeyStore, ListQuery, StoreError, StoreErrorKind};
use tower_api_key::{
    Grant, InvalidCause, KeyDigest, KeyRing, Label, ManualClock, Realm, RevocationReason,
    Timestamp, VerifyErrorKind,
};
use tower_api_key_file::FileStore;

use tower_api_key_test_support::folder::Folder;
use tower_api_key_test_support::support::{START, issue, ring};

/// A minted key, and the file entry for it.
struct Key {
    plaintext: String,
    digest: String,
}

impl Key {
    async fn mint() -> Self {
        let plaintext = issue(&ring(), "").await.secret().expose().to_owned();
        let digest = hex(KeyDigest::sha256(plaintext.as_bytes()));
        Self { plaintext, digest }
    }

    /// The entry, with these lines after its digest.
    fn entry(&self, lines: &str) -> String {
        format!("[[keys]]\ndigest = \"{}\"\n{lines}\n", self.digest)
    }

    fn alice(&self) -> String {
        self.entry("subject = \"alice\"\nscopes = [\"read\", \"write\"]\nexpires_at = 1900000000")
    }
}

fn hex(digest: KeyDigest) -> String {
    let mut text = String::new();
    for byte in digest.as_bytes() {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// A file in its own folder, the store that reads it on demand, and a ring over the store.
struct Kept {
    folder: Folder,
    path: PathBuf,
    store: FileStore,
    ring: KeyRing,
    clock: ManualClock,
}

impl Kept {
    fn new(text: &str) -> Self {
        let folder = Folder::new();
        let path = folder.path().join("keys.toml");
        write(&path, text);
        let clock = ManualClock::new(START);
        let options = FileStore::options().unwatched().clock(clock.clone());
        let store = options.open(&path).unwrap();
        let ring = ring_over(store.clone(), clock.clone());
        Self {
            folder,
            path,
            store,
            ring,
            clock,
        }
    }

    fn reload(&self, text: &str) -> Result<(), StoreError> {
        write(&self.path, text);
        self.store.reload()
    }

    /// Asserts that the file is refused with this kind, and with this text after the file's name.
    #[track_caller]
    fn refuses(&self, text: &str, kind: StoreErrorKind, message: &str) {
        let error = self.reload(text).unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert_eq!(message_of(&error, &self.path), message);
    }

    async fn verify(&self, key: &Key) -> Result<String, InvalidCause> {
        match self.ring.verify(key.plaintext.as_bytes()).await {
            Ok(key) => Ok(format!("{} {}", key.subject(), key.scopes())),
            Err(error) => match error.kind() {
                VerifyErrorKind::Invalid(cause) => Err(cause),
                kind => panic!("no verdict: {kind:?}"),
            },
        }
    }
}

fn ring_over(store: impl KeyStore, clock: ManualClock) -> KeyRing {
    KeyRing::builder("acme")
        .realm("orders")
        .clock(clock)
        .build(store)
        .unwrap()
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

/// The text of the error's source after the name of the file.
#[track_caller]
fn message_of(error: &StoreError, path: &Path) -> String {
    let source = error.source().expect("a source").to_string();
    let name = path.display().to_string();
    let rest = source.strip_prefix(&name);
    rest.unwrap_or_else(|| panic!("{source} does not name {name}"))
        .to_owned()
}

#[tokio::test]
async fn a_file_in_toml_and_one_in_json_hold_the_same_keys() {
    let (alice, bob) = (Key::mint().await, Key::mint().await);
    let toml = format!(
        r#"
            realm = "orders"
            [[keys]]
            digest = "{}"
            id = "0123456789Ab"
            subject = "alice"
            scopes = ["write", "read"]
            not_before = 2027-01-15T08:00:00Z
            expires_at = 1900000000
            label = "laptop"
            metadata = {{ team = "a", "cost centre" = "7" }}

            [[keys]]
            digest = "{}"
            realm = "billing"
            subject = "bob"
            scopes = []
            never_expires = true
        "#,
        alice.digest,
        bob.digest.to_uppercase()
    );
    let json = format!(
        r#"{{"keys": [
            {{"digest": "{}", "id": "0123456789Ab", "subject": "alice", "scopes": ["write", "read"],
              "not_before": "2027-01-15T09:00:00+01:00", "expires_at": "2030-03-17T17:46:40Z",
              "label": "laptop", "metadata": {{"team": "a", "cost centre": "7"}}}},
            {{"digest": "{}", "realm": "billing", "subject": "bob", "scopes": [],
              "never_expires": true}}
        ], "realm": "orders"}}"#,
        alice.digest, bob.digest
    );
    let folder = Folder::new();
    let mut records = Vec::new();
    for (name, text) in [("keys.toml", toml), ("keys.JSON", json)] {
        let path = folder.path().join(name);
        write(&path, &text);
        let clock = ManualClock::new(START);
        let options = FileStore::options().unwatched().clock(clock.clone());
        let store = options.open(&path).unwrap();
        let orders = ring_over(store.clone(), clock.clone());
        let verified = orders.verify(alice.plaintext.as_bytes()).await.unwrap();
        assert_eq!(verified.id().as_str(), "0123456789Ab");
        assert_eq!(
            orders
                .verify(bob.plaintext.as_bytes())
                .await
                .unwrap_err()
                .kind(),
            VerifyErrorKind::Invalid(InvalidCause::Unknown),
            "it is of another realm"
        );
        let mut held = orders.list(&ListQuery::new()).await.unwrap().to_vec();
        let billing = Realm::new("billing").unwrap();
        held.extend(store.list(&billing, &ListQuery::new()).await.unwrap());
        records.push(held);
    }
    assert_eq!(records[0], records[1]);
    let [alice, bob] = &records[0][..] else {
        panic!("{records:?}");
    };
    assert_eq!(alice.subject(), "alice");
    assert_eq!(alice.scopes().as_str(), "read write");
    assert_eq!(alice.not_before(), START);
    assert_eq!(
        alice.expires_at(),
        Some(Timestamp::from_unix(1_900_000_000))
    );
    assert_eq!(alice.issued_at(), START);
    assert_eq!(alice.label().map(Label::as_str), Some("laptop"));
    assert_eq!(alice.metadata().len(), 2);
    assert_eq!(alice.metadata().get("cost centre"), Some("7"));
    assert_eq!((bob.subject().as_str(), bob.expires_at()), ("bob", None));
    assert_eq!(bob.scopes().as_str(), "");
    assert_eq!(bob.not_before(), Timestamp::from_unix(0));
}

#[tokio::test]
async fn an_id_that_is_not_named_is_always_the_same() {
    let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let entry = format!(
        "realm = \"orders\"\n[[keys]]\ndigest = \"{digest}\"\nsubject = \"alice\"\nscopes = []\n\
         never_expires = true"
    );
    for _ in 0..2 {
        let kept = Kept::new(&entry);
        let records = kept.ring.list(&ListQuery::new()).await.unwrap();
        assert_eq!(records[0].id().as_str(), DERIVED);
        assert_eq!(records[0].lineage(), records[0].id());
    }
}

const DERIVED: &str = "fvuYZjXH7vvI";

#[tokio::test]
async fn nothing_is_written_to_the_file() {
    let key = Key::mint().await;
    let text = format!("realm = \"orders\"\n{}", key.alice());
    let kept = Kept::new(&text);
    let record = kept.ring.list(&ListQuery::new()).await.unwrap()[0].clone();
    let issued = kept.ring.issue(Grant::new("bob")).await;
    let revoked = kept
        .ring
        .revoke(record.id(), RevocationReason::KeyCompromise)
        .await;
    let purged = kept.ring.purge().await;
    let errors = [
        issued.unwrap_err(),
        revoked.unwrap_err(),
        purged.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), tower_api_key::ErrorKind::Store);
        let store: &StoreError = error.source().unwrap().downcast_ref().unwrap();
        assert_eq!(store.kind(), StoreErrorKind::ReadOnly);
        assert_eq!(store.to_string(), "the store cannot be written to");
        assert_eq!(
            message_of(store, &kept.path),
            ": keys are managed by editing the file; this store only reads it"
        );
    }
    assert_eq!(kept.verify(&key).await.unwrap(), "alice read write");
    assert_eq!(fs::read_to_string(&kept.path).unwrap(), text);

    let uses = [(record.id(), START)];
    let realm = kept.ring.realm();
    kept.store.record_uses(realm, &uses).await.unwrap();
    assert_eq!(kept.ring.last_used(record.id()).await.unwrap(), Some(START));
    assert!(kept.store.index(realm).is_some(), "look-ups need no call");
    let files = fs::read_dir(kept.folder.path()).unwrap().count();
    assert_eq!(files, 1, "nothing is written beside it either");
}
