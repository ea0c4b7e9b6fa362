//! A node of a run: the production follower, memory and lease, on a clock of its own.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::database::{Rows, STALENESS};
use super::keys::Key;
use super::mutant::Mutant;
use crate::Timestamp;
use crate::record::KeyRecord;
use crate::replica::Position;
use crate::replica::follower::{Action, Event, Follower, Number, Pace, Question};
use crate::replica::memory::{Memory, Roster, Steps};
use crate::store::{Asked, Freshness, Index};
use crate::time::Clock;

/// From one pull to the next, in microseconds.
pub(super) const INTERVAL: u64 = 200_000;

/// From one audit to the next.
const AUDITS: Duration = Duration::from_secs(3);
/// An audit is in three parts, with changes between them.
const BUCKETS_OF_AUDIT: u8 = 100;

/// Elapsed time of a node, which the run sets before the node does anything.
#[derive(Debug, Clone, Default)]
struct Local(Arc<AtomicU64>);

impl Clock for Local {
    fn now(&self) -> Timestamp {
        super::keys::START
    }

    fn elapsed(&self) -> Option<Duration> {
        Some(Duration::from_micros(self.0.load(Ordering::Relaxed)))
    }
}

/// A change that this node has committed, and that has not returned yet.
#[derive(Debug, Clone)]
pub(super) struct Returning {
    pub(super) number: u64,
    pub(super) node: usize,
    pub(super) key: Key,
    pub(super) record: Option<Arc<KeyRecord>>,
    pub(super) visible_at: u64,
    pub(super) returned_at: u64,
}

pub(super) struct Node {
    local: Local,
    offset: u64,
    rate_ppm: i64,
    /// How long a change waits for the pull after it, as in the product.
    pub(super) patience: u64,
    pub(super) stopped_for: u64,
    pub(super) wall_skew: i64,
    pub(super) memory: Memory,
    pub(super) steps: Steps,
    pub(super) roster: Option<Roster>,
    /// The number of the last comparison. The outcome of another one is of no use.
    pub(super) comparison: u64,
    pub(super) follower: Follower,
    /// What is left to do of an event, and the events that wait for it.
    pub(super) todo: VecDeque<Action>,
    pub(super) events: VecDeque<Event>,
    /// Until then, another process has the processor.
    pub(super) busy_until: u64,
    pub(super) open: Option<(Number, Question)>,
    pub(super) paused_until: u64,
    pub(super) cut_until: u64,
    pub(super) due_at: Option<u64>,
    pub(super) waiting: Vec<Returning>,
    pub(super) covered: Vec<Returning>,
    /// What the run knows of the last answer.
    pub(super) answered: Known,
    /// When the event came whose actions are done, in true time.
    pub(super) heard_at: u64,
    /// When the pull that is open was asked for, in true time.
    pub(super) pull_asked: u64,
    /// What has been proven, in true time, and until when, in local time.
    pub(super) proven: Option<(u64, u64)>,
    pub(super) seen: HashMap<Key, Seen>,
    /// Changes of this node that have returned.
    pub(super) returned: HashMap<Key, Returning>,
    pub(super) last_page: Option<Position>,
    /// Whether an audit has found a difference that is not loaded yet.
    pub(super) differs: bool,
    /// Answers to former questions.
    pub(super) strays: HashSet<Number>,
}

#[derive(Default)]
pub(super) struct Known {
    pub(super) rows: Option<Arc<Rows>>,
    pub(super) server_time: u64,
    pub(super) incarnation: u64,
}

/// What this node has shown of a key.
#[derive(Debug, Clone)]
pub(super) enum Seen {
    /// With this authority at the most.
    Held(Arc<KeyRecord>),
    Dead,
}

impl Node {
    pub(super) fn new(offset: u64, rate_ppm: i64, wall_skew: i64, chance: u64) -> Self {
        let local = Local::default();
        let freshness = Freshness::leased_by(local.clone());
        let (staleness, interval) = (
            Duration::from_micros(STALENESS),
            Duration::from_micros(INTERVAL),
        );
        let pace =
            Pace::by_chance(staleness, interval, chance).audits_every(AUDITS, BUCKETS_OF_AUDIT);
        let patience = pace.patience().as_micros();
        Self {
            local,
            offset,
            rate_ppm,
            patience: u64::try_from(patience).unwrap(),
            stopped_for: 0,
            wall_skew,
            memory: Memory::new(Index::new(freshness)),
            steps: Steps::default(),
            roster: None,
            comparison: 0,
            follower: Follower::new(pace),
            todo: VecDeque::new(),
            events: VecDeque::new(),
            busy_until: 0,
            open: None,
            paused_until: 0,
            cut_until: 0,
            due_at: None,
            waiting: Vec::new(),
            covered: Vec::new(),
            answered: Known::default(),
            heard_at: 0,
            pull_asked: 0,
            proven: None,
            seen: HashMap::new(),
            returned: HashMap::new(),
            last_page: None,
            differs: false,
            strays: HashSet::new(),
        }
    }

    /// Sets the clock of this node to a moment of true time.
    pub(super) fn at(&self, now: u64) {
        self.local.0.store(self.local_time(now), Ordering::Relaxed);
    }

    pub(super) fn local_time(&self, now: u64) -> u64 {
        let run = now.saturating_sub(self.stopped_for);
        let drift = i64::try_from(run / 1_000).unwrap() * self.rate_ppm / 1_000;
        (self.offset + run).saturating_add_signed(drift)
    }

    /// The true time that passes while the clock of this node counts this much.
    pub(super) fn true_length(&self, local: u64) -> u64 {
        let rate = u64::try_from(1_000_000 + self.rate_ppm).unwrap();
        local * 1_000_000 / rate + 1
    }

    pub(super) fn ask(&self) -> Asked {
        self.freshness().ask().unwrap()
    }

    pub(super) fn freshness(&self) -> &Freshness {
        self.memory.index().freshness()
    }

    pub(super) fn is_fresh(&self, mutant: Option<Mutant>) -> bool {
        let has_loaded = !self.memory.index().is_empty();
        self.freshness().is_fresh() || (mutant == Some(Mutant::NoLease) && has_loaded)
    }
}
