//! The design with one rule taken out.

/// Each breaks one rule, and must break an assertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mutant {
    /// The lease counts from the arrival of the answer.
    FromAnswer,
    /// The lease counts from the server's time, by a wall clock that differs by up to 300 ms.
    ServerClock,
    /// The look-up comes before the check.
    ReadFirst,
    /// The lease is renewed before what was pulled is held.
    DeadlineFirst,
    /// The answer to a former question is taken.
    LateAnswer,
    /// A position is good in any history.
    KeepPosition,
    /// The position is the last xid that was seen.
    Cursor,
    /// The position is that of the time after the pages.
    PositionAfterPages,
    /// After an audit that differs, the position is that of the time after the pages.
    AuditSkips,
    /// The log is pruned by the time at which a transaction began.
    PruneByTime,
    /// A call that brings no changes renews the lease.
    PingRenews,
    /// The clock stops while the process does.
    ClockStops,
    /// A node that is stale goes on.
    NoLease,
    /// The clock of a node is believed to be right: the lease is the whole staleness.
    WholeLease,
    /// What the database says replaces what is held.
    Revives,
    /// A row that is gone leaves nothing behind.
    Forgets,
    /// A change returns although the pull after it has failed.
    ReturnsEarly,
    /// What no page has shown stays.
    NoSweep,
    /// What was loaded of a history that is lost is held with the next one.
    OldSteps,
    /// A key that a fresh node does not hold is asked for in the database.
    AsksForUnknown,
}

pub(super) const ALL: [Mutant; 20] = [
    Mutant::FromAnswer,
    Mutant::ServerClock,
    Mutant::ReadFirst,
    Mutant::DeadlineFirst,
    Mutant::LateAnswer,
    Mutant::KeepPosition,
    Mutant::Cursor,
    Mutant::PositionAfterPages,
    Mutant::AuditSkips,
    Mutant::PruneByTime,
    Mutant::PingRenews,
    Mutant::ClockStops,
    Mutant::NoLease,
    Mutant::WholeLease,
    Mutant::Revives,
    Mutant::Forgets,
    Mutant::ReturnsEarly,
    Mutant::NoSweep,
    Mutant::OldSteps,
    Mutant::AsksForUnknown,
];
