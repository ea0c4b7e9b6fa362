//! The state that the clones of a store share, and its monitoring threads.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tower_api_key::store::StoreError;

use super::connection::Access;
use super::open::Core;
use super::options::SqliteOptions;
use super::place::Place;
use super::watcher::Watcher;
use super::worker;

pub(super) struct Shared {
    pub(super) core: Arc<Core>,
    /// Detects stalled reads.
    pub(super) pace: Watcher,
    /// Detects files that are not those that are open, and closes them at the end.
    files: Watcher,
}

/// How often running reads are checked.
const PACE: Duration = Duration::from_millis(20);

/// How long the drop of the last clone waits until its files are closed.
const END: Duration = Duration::from_secs(5);

impl Shared {
    /// Opens the files at a path, and starts to monitor them.
    pub(super) fn open(
        path: &Path,
        access: Access,
        options: &SqliteOptions,
    ) -> Result<Self, StoreError> {
        // A name such as `:memory:` is a file too, and a change of the working directory has no effect.
        let absolute = std::path::absolute(path);
        let path_of_errors = absolute.as_deref().unwrap_or(path).to_owned();
        let place = Arc::new(Place::new(path_of_errors, options.busy_timeout));
        if let Err(error) = absolute {
            return Err(place.io("cannot open the file", error));
        }
        let core = Arc::new(Core::open(Arc::clone(&place), access, options)?);
        let (paced, looked, closed) = (Arc::clone(&core), Arc::clone(&core), Arc::clone(&core));
        let stands = move || {
            if paced.readers.any_stands_still() {
                paced.place.state.slow();
            }
        };
        let look = move || looked.look();
        let close = move || closed.close();
        Ok(Self {
            pace: Watcher::spawn("api-key-pace", &place, PACE, stands, || {})?,
            files: Watcher::spawn("api-key-files", &place, options.check_interval, look, close)?,
            core,
        })
    }
}

impl Deref for Shared {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.pace.stop();
        self.files.stop();
        // A thread of this store that waited here would wait for itself.
        if !worker::is_worker_thread() {
            self.files.wait(END);
        }
    }
}
