//! A copy of a database's keys in memory, which requests read. Needs the feature `replica`.
//!
//! Each node of a fleet holds all keys, and pulls what has changed in the database, 20 times a second by default. A
//! request costs no call of the database. A revocation is refused by every node that reaches the database some
//! milliseconds later, and by every node at all after the stated [staleness](ReplicaOptions::staleness): a node that
//! cannot prove that its copy is no older asks the database, or answers 503.
//!
//! ```no_run
//! use std::time::Duration;
//! use tower_api_key::replica::{Feed, Replica};
//! use tower_api_key::{KeyRing, observer_fn};
//!
//! # async fn serve(store: impl Feed) -> Result<(), Box<dyn std::error::Error>> {
//! // A store that can be followed, such as a `PostgresStore`.
//! let (replica, follow) = Replica::options()
//!     .staleness(Duration::from_secs(5))
//!     .observer(observer_fn(|event| eprintln!("{event:?}")))
//!     .follow(store)?;
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! std::thread::spawn(move || runtime.block_on(follow));
//!
//! let ring = KeyRing::builder("acme").build(replica.clone())?;
//! replica.ready().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Once a day, a replica compares checksums of its keys with those of the database, one of 256 parts a second, while it
//! answers requests. The parts that differ are loaded anew, and
//! [`ReplicaDiverged`](crate::EventKind::ReplicaDiverged) says how many they are. After a
//! [`ReplicaReset`](crate::EventKind::ReplicaReset) it compares all parts before it is fresh again.
//!
//! # What is proven
//!
//! The answer to a question contains all that was acknowledged before the question was sent. So a node that has
//! taken the answer may answer requests until the staleness after *that* moment, by its own clock, less a tenth
//! because clocks run at different rates. No two clocks are compared, and no bound on the network is assumed. The
//! clock goes on while the process is stopped and while the machine is suspended. It does not while a virtual machine
//! is paused as a whole: do not resume snapshots of machines that serve requests.

mod batch;
mod changes;
mod comparison;
mod feed;
mod follow;
mod follower;
mod head;
mod inbox;
mod memory;
mod options;
mod position;
mod realms;
#[expect(
    clippy::module_inception,
    reason = "the room is named after what it has"
)]
mod replica;
#[cfg(feature = "metrics")]
mod report;
mod shared;
#[cfg(test)]
mod simulation;
mod sums;

pub use batch::Batch;
pub use changes::Changes;
pub use feed::Feed;
pub use follow::Follow;
pub use head::Head;
pub use options::{ReplicaOptions, STALENESS};
pub use position::Position;
pub use realms::Realms;
pub use replica::Replica;
pub use sums::{Sum, Sums};
