//! What happens in a run.

use std::sync::Arc;

use super::database::Answered;
use super::keys::Key;
use super::node::Returning;
use crate::record::KeyRecord;
use crate::replica::follower::{Number, Question};

pub(super) enum Happening {
    Begin,
    Commit {
        xid: u64,
        began_at: u64,
        incarnation: u64,
    },
    Acknowledge {
        key: Key,
        record: Option<Arc<KeyRecord>>,
        visible_at: u64,
        incarnation: u64,
    },
    /// The follower of a node has a turn.
    Turn(usize),
    /// Somebody hints.
    Hint(usize),
    AtDatabase {
        node: usize,
        number: Number,
        question: Question,
        began_at: u64,
    },
    Arrives {
        node: usize,
        number: Number,
        question: Question,
        answered: Box<Answered>,
    },
    Late {
        node: usize,
        number: Number,
    },
    Compared {
        node: usize,
        number: u64,
        upto: u8,
        differing: Vec<u8>,
    },
    Verify(usize),
    Step(Request),
    Find {
        request: Request,
        before: Option<Arc<KeyRecord>>,
    },
    Found {
        request: Request,
        before: Option<Arc<KeyRecord>>,
        found: Option<Arc<KeyRecord>>,
    },
    /// A node changes a key by its own ring.
    Write(usize),
    Written {
        node: usize,
        change: Returning,
    },
    GivesUp {
        node: usize,
        change: Returning,
    },
    Settled {
        change: Returning,
        began_local: u64,
    },
    Pause(usize),
    Cut(usize),
    FailOver,
    Prune,
    Ping(usize),
}

#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) node: usize,
    pub(super) key: Key,
    pub(super) began: u64,
    /// How far it is: whether it has passed the lease, and what it has read.
    pub(super) has_passed: Option<bool>,
    pub(super) read: Option<Read>,
}

/// What a look-up in memory has read.
#[derive(Debug, Clone)]
pub(super) struct Read(pub(super) Option<Arc<KeyRecord>>);
