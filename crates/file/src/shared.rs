//! The last state of the file, and how it is read again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tower_api_key::store::{Change, MemoryStore, StoreError, StoreErrorKind, caught};
use tower_api_key::{Clock, Event};

use super::document::{self, Syntax};
use super::failure::{Failure, Problem, line_of};
use super::limits::Limits;
use super::merge::{self, Held};
use super::observed::Observed;
use super::options::FileOptions;
use super::salvage::Taken;

/// The state that the store and its thread share.
pub(super) struct Shared {
    path: PathBuf,
    syntax: Syntax,
    records: MemoryStore,
    observer: Observed,
    clock: Arc<dyn Clock>,
    limits: Limits,
    state: Mutex<State>,
}

/// Holding it is the right to change the records.
struct State {
    held: Held,
    /// The file of the last attempt to read it.
    tried: Print,
}

/// Distinguishes one state of a file from another without reading it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Print {
    /// No file was seen.
    #[default]
    Never,
    /// There is none.
    Absent,
    Present {
        modified: Option<SystemTime>,
        length: u64,
        /// Device, inode, and the time at which the inode changed, which no tool sets back.
        #[cfg(unix)]
        inode: (u64, u64, i64, i64),
    },
}

/// The state that the watching thread keeps from one check to the next.
#[derive(Default)]
pub(super) struct Poll {
    /// The file that was seen last. If it differs from the one that was tried, it is read when it is
    /// seen twice.
    seen: Print,
    /// The failure that was reported last, so that it is reported once.
    told: Option<String>,
}

impl Shared {
    pub(super) fn load(path: &Path, options: &FileOptions) -> Result<Self, StoreError> {
        let syntax = Syntax::of(path);
        let shared = Self {
            path: path.to_owned(),
            syntax: syntax.unwrap_or(Syntax::Toml),
            records: MemoryStore::new(),
            observer: options.observer.clone(),
            clock: Arc::clone(&options.clock),
            limits: options.limits.clone(),
            state: Mutex::new(State {
                held: BTreeMap::new(),
                tried: Print::Never,
            }),
        };
        if syntax.is_none() {
            let advice = "the name of a keys file must end in .toml or .json";
            return Err(StoreError::unavailable(shared.failure(advice)));
        }
        shared.read_and_apply(&mut shared.state())?;
        Ok(shared)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn records(&self) -> &MemoryStore {
        &self.records
    }

    pub(super) fn failure(&self, text: impl Into<String>) -> Failure {
        self.failure_of(Problem::new(None, text))
    }

    fn failure_of(&self, problem: Problem) -> Failure {
        Failure {
            path: self.path.clone(),
            problem,
        }
    }

    pub(super) fn reload(&self) -> Result<(), StoreError> {
        let read = self.read_and_apply(&mut self.state());
        self.tell(&read);
        read
    }

    /// One check of the file, which is read if it has changed and has come to rest.
    pub(super) fn poll(&self, poll: &mut Poll) {
        let now = Print::of(&self.path);
        let mut state = self.state();
        let at_rest = poll.seen == now;
        poll.seen = now;
        if now == state.tried || !at_rest {
            return;
        }
        let read = caught(|| self.read_and_apply(&mut state)).unwrap_or_else(|| {
            let failure = self.failure("the thread that reads the file panicked");
            Err(StoreError::unavailable(failure))
        });
        drop(state);
        let failure = read.as_ref().err().map(chain);
        if failure.is_none() || failure != poll.told {
            self.tell(&read);
        }
        poll.told = failure;
    }

    fn tell(&self, read: &Result<(), StoreError>) {
        self.observer.tell(|| match read {
            Ok(()) => Event::reloaded(None),
            Err(error) => Event::reloaded(Some(error)),
        });
    }

    fn read_and_apply(&self, state: &mut State) -> Result<(), StoreError> {
        // If the file is written while it is read, it has another print at the next check.
        let print = Print::of(&self.path);
        let bytes = self.read()?;
        state.tried = print;
        let corrupt = |problem| StoreError::new(StoreErrorKind::Corrupt, self.failure_of(problem));
        let text = str::from_utf8(&bytes).map_err(|error| {
            let line = line_of(&bytes, error.valid_up_to());
            corrupt(Problem::new(line, "this is not UTF-8"))
        })?;
        let now = self.clock.now();
        let change = document::parse(self.syntax, text, now)
            .and_then(|entries| merge::distinct(&entries).map(|()| entries))
            .map_err(|problem| (StoreErrorKind::Corrupt, problem))
            .and_then(|entries| {
                self.limits
                    .check(&entries, now)
                    .map_err(|problem| (StoreErrorKind::Conflict, problem))?;
                merge::change(&state.held, &entries, now)
                    .map_err(|problem| (StoreErrorKind::Conflict, problem))
            });
        match change {
            Ok(change) => self.apply(state, &change),
            Err((kind, mut problem)) => {
                let taken = Taken::from(self.syntax, text, &state.held, now);
                self.apply(state, &taken.change())?;
                problem.text = format!("{}{taken}", problem.text);
                Err(StoreError::new(kind, self.failure_of(problem)))
            }
        }
    }

    fn apply(&self, state: &mut State, change: &Change) -> Result<(), StoreError> {
        self.records.apply(change)?;
        for write in change.writes() {
            let digest = *write.record.digest().as_bytes();
            state.held.insert(digest, write.record.clone());
        }
        Ok(())
    }

    fn read(&self) -> Result<Vec<u8>, StoreError> {
        let failed = |error: std::io::Error| {
            let failure = self.failure(format!("the file cannot be read: {error}"));
            StoreError::unavailable(failure)
        };
        // A pipe would have to be waited for.
        if !fs::metadata(&self.path).map_err(failed)?.is_file() {
            let failure = self.failure("this is not a file");
            return Err(StoreError::unavailable(failure));
        }
        fs::read(&self.path).map_err(failed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panicked here has applied nothing, or everything.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Print {
    fn of(path: &Path) -> Self {
        let Ok(metadata) = fs::metadata(path) else {
            return Self::Absent;
        };
        Self::Present {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            #[cfg(unix)]
            inode: {
                use std::os::unix::fs::MetadataExt;

                let changed = (metadata.ctime(), metadata.ctime_nsec());
                (metadata.dev(), metadata.ino(), changed.0, changed.1)
            },
        }
    }
}

fn chain(error: &StoreError) -> String {
    let source = std::error::Error::source(error).map(ToString::to_string);
    format!("{error}: {}", source.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FileStore;
    use tower_api_key::KeyState;
    use tower_api_key::Realm;
    use tower_api_key::store::{KeyStore, Lookup};

    const BEGIN: &str = "realm = \"orders\"\nkeys = [\n";
    const ENTRY: &str = "{ digest = \"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\", \
                         subject = \"alice\", scopes = [], never_expires = true },\n";

    /// A file that is written in two steps, and is whole TOML after the first.
    #[test]
    fn a_file_that_is_still_being_written_is_left_alone() {
        let name = format!("tower-api-key-poll-{}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        let whole = format!("{BEGIN}{ENTRY}]\n");
        fs::write(&path, &whole).unwrap();
        let shared = Shared::load(&path, &FileStore::options()).unwrap();
        let mut poll = Poll::default();
        let digest = ENTRY[12..76].parse().unwrap();
        let realm = Realm::new("orders").unwrap();
        let state = || {
            let Lookup::Ready(Ok(Some(record))) = shared.records().find(&realm, &digest) else {
                panic!("no record");
            };
            record.state_at(tower_api_key::Timestamp::from_unix(1))
        };
        shared.poll(&mut poll);
        fs::write(&path, format!("{BEGIN}]\n")).unwrap();
        shared.poll(&mut poll);
        assert_eq!(state(), KeyState::Live);
        fs::write(&path, format!("{whole}# the end\n")).unwrap();
        shared.poll(&mut poll);
        shared.poll(&mut poll);
        assert_eq!(state(), KeyState::Live, "nothing was revoked meanwhile");

        fs::write(&path, format!("{BEGIN}]\n")).unwrap();
        shared.poll(&mut poll);
        assert_eq!(state(), KeyState::Live);
        shared.poll(&mut poll);
        assert_eq!(state(), KeyState::Revoked, "it has come to rest");
        fs::remove_file(&path).unwrap();
    }
}
