//! The quickstart, with its keys in a file of SQLite.
//!
//! `cargo run -p tower-api-key-sqlite --example embedded` keeps them in `keys.db`, or in the file that `KEYS_DB` names. `PORT` chooses the
//! port. A key that another process revokes, such as the program `tower-api-key`, is refused at once.

use std::error::Error;
use std::sync::Arc;

use tower_api_key_sqlite::SqliteStore;

#[path = "../../../examples/quickstart.rs"]
#[allow(dead_code, reason = "its main keeps the keys in memory")]
mod quickstart;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::var_os("KEYS_DB").unwrap_or_else(|| "keys.db".into());
    match SqliteStore::open(path) {
        Ok(store) => quickstart::serve(Arc::new(store)).await,
        // The source names the file, and says what to do.
        Err(error) => Err(error
            .source()
            .map_or_else(|| error.to_string(), ToString::to_string)
            .into()),
    }
}
