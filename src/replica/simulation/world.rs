//! A run: events in true time, in microseconds.

use std::collections::BTreeMap;

use super::database::{Database, SECOND};
use super::happening::Happening;
use super::keys::{Key, digest, issued};
use super::mutant::Mutant;
use super::node::Node;
use super::oracle::{Acknowledged, Oracle};
use super::random::Random;

const FIRST_KEYS: usize = 24;
/// Within this time after the last fault, every node has converged: the longest wait for an answer, and a load.
const CALM: u64 = 20 * SECOND;

pub(super) struct World {
    pub(super) now: u64,
    pub(super) random: Random,
    pub(super) mutant: Option<Mutant>,
    happenings: BTreeMap<(u64, u64), Happening>,
    pub(super) order: u64,
    pub(super) database: Database,
    pub(super) nodes: Vec<Node>,
    pub(super) oracle: Oracle,
    /// How many keys there were.
    pub(super) keys: Key,
    /// How many there were that no trigger has seen.
    pub(super) unseen: usize,
    /// When the faults end.
    pub(super) calm_from: u64,
}

impl World {
    pub(super) fn new(seed: u64, nodes: usize, seconds: u64, mutant: Option<Mutant>) -> Self {
        let mut random = Random::of(seed);
        let rows = (0..FIRST_KEYS).map(|key| (*digest(key).as_bytes(), issued(key)));
        let node = |_| {
            let rate = i64::try_from(random.below(160_001)).unwrap() - 80_000;
            let skew = i64::try_from(random.below(600_001)).unwrap() - 300_000;
            Node::new(random.below(1_000 * SECOND), rate, skew, random.next())
        };
        let nodes = (0..nodes).map(node).collect();
        let mut world = Self {
            now: 0,
            database: Database::new(rows.collect(), mutant),
            nodes,
            random,
            mutant,
            happenings: BTreeMap::new(),
            order: 0,
            oracle: Oracle::default(),
            keys: FIRST_KEYS,
            unseen: 0,
            calm_from: seconds * SECOND,
        };
        for key in 0..FIRST_KEYS {
            let record = Some(issued(key));
            let (at, visible_at) = (0, 0);
            let first = Acknowledged {
                at,
                visible_at,
                record,
            };
            world.oracle.acknowledge(key, first);
        }
        for node in 0..world.nodes.len() {
            let start = world.random.about(SECOND / 10);
            world.at(start, Happening::Turn(node));
            world.at(start, Happening::Verify(node));
            world.at(start, Happening::Ping(node));
            let (pause, cut) = (
                world.random.about(15 * SECOND),
                world.random.about(20 * SECOND),
            );
            world.at(pause, Happening::Pause(node));
            world.at(cut, Happening::Cut(node));
            let write = world.random.about(5 * SECOND);
            world.at(write, Happening::Write(node));
        }
        world.at(0, Happening::Begin);
        world.at(SECOND, Happening::Prune);
        let failover = world.random.about(10 * SECOND);
        world.at(failover, Happening::FailOver);
        world
    }

    /// Runs to the end of the faults, and on until every node must have converged.
    pub(super) fn run(mut self) -> Oracle {
        let end = self.calm_from + CALM;
        while let Some(((at, _), happening)) = self.happenings.pop_first() {
            if at > end {
                break;
            }
            self.now = at;
            self.happen(happening);
            if self.mutant.is_some() && !self.oracle.violations.is_empty() {
                // It is dead.
                return self.oracle;
            }
        }
        self.now = end;
        self.converged();
        self.oracle
    }

    pub(super) fn at(&mut self, at: u64, happening: Happening) {
        self.order += 1;
        let at = (at.max(self.now), self.order);
        self.happenings.insert(at, happening);
    }

    pub(super) fn after(&mut self, length: u64, happening: Happening) {
        self.at(self.now + length, happening);
    }

    pub(super) fn is_calm(&self) -> bool {
        self.now >= self.calm_from
    }

    /// How long a message takes.
    pub(super) fn wire(&mut self) -> u64 {
        if !self.is_calm() && self.random.per_mille(20) {
            return self.random.about(SECOND);
        }
        200 + self.random.about(800)
    }

    /// Whether a message between this node and the database is lost.
    pub(super) fn is_lost(&mut self, node: usize) -> bool {
        let is_cut = self.nodes[node].cut_until > self.now;
        is_cut || (!self.is_calm() && self.random.per_mille(5))
    }

    /// Verifies again, for all nodes, what the last pulls should have brought.
    fn converged(&mut self) {
        let rows = self.database.rows.clone();
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            node.at(self.now);
            let is_fresh = node.freshness().is_fresh();
            let mut wrong = Vec::new();
            for row in rows.values() {
                let held = node.memory.held(row.digest());
                let is_right = held.map_or(node.memory.is_gone(row.digest()), |held| {
                    held.is_within(row)
                });
                wrong.extend((!is_right).then_some(row.id()));
            }
            let held = node.memory.index().records();
            let ghosts = held.iter().filter(|record| {
                !rows.contains_key(record.digest().as_bytes()) && record.revocation().is_none()
            });
            wrong.extend(ghosts.map(|record| record.id()));
            self.oracle.require(
                "s09_every_node_converges_when_faults_end",
                is_fresh && wrong.is_empty(),
                || format!("node {index}, fresh: {is_fresh}, wrong: {wrong:?}"),
            );
        }
    }
}
