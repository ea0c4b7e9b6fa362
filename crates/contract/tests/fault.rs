//! The ways in which a store can break its contract.

/// The fault of a [`BrokenStore`](super::broken::BrokenStore).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,

    AppliesUntilRefused,
    AppliesInSteps,
    ForgetsHalfWhenDropped,
    RemovesBeforeItPuts,

    ChecksBeforeItLocks,
    ChecksVersionsBeforeItLocks,
    IgnoresVersions,
    IgnoresIdentity(Field),
    PutsAbsentRecords,

    IgnoresLimits,
    ReadsTheFirstLimitAlone,
    ReadsLimitsBeforeWrites,
    ChecksLimitsBeforeItLocks,
    CountsBeforeTheChange,
    CountsRecords,
    CountsTheExpired,
    CountsTheLatestTime,
    CountsOtherRealms,
    CountsDown,

    RevokesTheNamedKeyAlone,
    RevokesInEveryRealm,
    RevokesTheRevokedAgain,
    RevokesWithoutAVersion,
    RevokesOtherFieldsToo,
    RevokesInSteps,
    RevokesWhatItRead,
    RevokesWhatItReadOrConflicts,
    RevokesNothingLate,
    RevokesNothingAtTheLastVersion,
    RevokesSubjectsInAnyCase,
    RevokesByMembersAlone,
    RevokesSilently,
    RevokesWithoutFinding,

    AcceptsDigestsTwice,
    AcceptsDigestsOncePerRealm,
    ForgetsTheChangeItself,

    FindsWhatItFoundBefore,
    FindsTheFirstVersion,
    GetsWhatWasBefore,
    ListsWhatWasBefore,
    NamesAnotherIndex,

    FindsInAnyRealm,
    GetsInAnyRealm,
    FoldsTheCaseOfRealms,

    CutsTimesToAnI64,
    KeepsTheLabel,
    ForgetsEmptyTexts,

    SkipsOnePerPage,
    RepeatsOnePerPage,
    LimitsBeforeItFilters,
    NeedsTheIdItBeginsAfter,
    OrdersIdsWithoutCase,
    FoldsTheCaseOfSubjects,
    ListsTheRevoked,
    IgnoresTheFilter(Filter),
    NamesNoNextPage,
    ListsTheUsesOfOthers,
    NamesANextPageAlways,
    NamesOtherRealms,

    PurgesEveryRealm,
    PurgesASecondMore,
    PurgesASecondLess,
    CountsThePurgedWrong,
    RemembersTheUsesOfThePurged,

    TakesTheUseItWasTold,
    ReadsUsesBeforeItLocks,
    RaisesTheVersionWithAUse,
    ResurrectsWithAUse,
    AnswersUsesInTheOrderOfIds,
    WritesRecordsBackWithAUse,
    PutsRecordsBackWithAUse,
    RecordsUsesOfTheGone,
    PassesOverChangedRecords,

    ClaimsEachTime,
    ClaimsWiderStepsToo,
    ClaimsAnyOtherStep,
    ClaimsASecondEarly,
    ClaimsTheRevoked,
    ClaimsTheReplaced,
    ClaimsTheExpired,
    ClaimsInAnyRealm,
    ClaimsStepsOfShorterLives,
    ClaimsMoreThanItMay,
    NamesNoFurtherClaims,
    StopsAtShorterLives,
    ReadsWhatIsDueBeforeItLocks,
    ForgetsClaimsWithAChange,
    RemembersTheClaimsOfThePurged,
    RaisesTheVersionWithAClaim,

    AnswersManyInTheOrderOfIds,
    AnswersOneOfManyOnce,
    LeavesOutTheUnknown,
    GetsManyInAnyRealm,
    GetsAThousandAlone,

    DropsTasks,
    RunsTasksInTurn,
    GivesBackTheSecondTask,
    GivesBackABegunTask,

    SharesItsIdentity,
    ChangesItsIdentity,
    ChangesItsIdentityWithACommit,

    FailsBesideOthers,
}

/// The part of a query that a store ignores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filter {
    States,
    InGrace,
    EndOfExpiring,
    UseOfUnused,
    WholeDays,
    WholeScopes,
    CaseOfPrefixes,
    NewestFirst,
    SecondsOfIssue,
    LosesInAnyOrder,
    RepeatsInAnyOrder,
}

/// A field that is the same in every version of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Digest,
    Realm,
    Subject,
    CaseOfTheSubject,
    Lineage,
}
