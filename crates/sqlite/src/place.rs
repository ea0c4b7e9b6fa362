//! The file of a store, and whether it may be answered from.

use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use tower_api_key::store::{StoreError, StoreErrorKind};

use super::failure::Origin;
use super::state::State;

/// The file of a store. It makes the errors that name it.
#[derive(Debug)]
pub(super) struct Place {
    origin: Origin,
    pub(super) state: State,
}

impl Place {
    pub(super) fn new(path: PathBuf, busy_timeout: Duration) -> Self {
        Self {
            origin: Origin { path, busy_timeout },
            state: State::default(),
        }
    }

    /// Why no answer comes from the files that are open.
    pub(super) fn fault(&self) -> StoreError {
        self.state.cause().unwrap_or_else(|| {
            self.error(
                StoreErrorKind::Unavailable,
                "the store is closed; try again",
            )
        })
    }

    /// Refuses to go on if the files that are open are not those at the path.
    pub(super) fn require_current(&self) -> Result<(), StoreError> {
        if self.state.has_fault() {
            return Err(self.fault());
        }
        // It is unknown only in a test of a connection alone.
        let Some(files) = self.state.files() else {
            return Ok(());
        };
        files
            .require_current(self)
            .inspect_err(|error| self.state.fault(error))
    }
}

impl Deref for Place {
    type Target = Origin;

    fn deref(&self) -> &Origin {
        &self.origin
    }
}
