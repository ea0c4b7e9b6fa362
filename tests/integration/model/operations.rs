//! The operations of a random sequence. An operation names keys by their position in the model, so
//! that it keeps its meaning if the sequence is shortened.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tower_api_key::RevocationReason;

use super::caveats::{ADDRESSES, CERTIFICATES, Client};
use super::sets::{Choice, Cut};
use super::store::Read;

/// The key of an operation. The number picks one of those.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    /// Of the keys that are neither dead nor replaced.
    Head(u8),
    /// Of the keys in grace.
    InGrace(u8),
    /// Of all keys that ever existed, the newest first.
    Ever(u8),
    /// An id that never existed.
    Nowhere,
}

/// The ring that an operation calls.
#[derive(Debug, Clone, Copy)]
pub(super) enum Via {
    /// One of the key's own realm.
    Own(u8),
    /// Any of them.
    Ring(u8),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    pub(super) key: Target,
    pub(super) via: Via,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Lifetime {
    Default,
    For(Duration),
    /// Seconds from now, or `u64::MAX` for the end of time.
    Until(i64),
    UntilMax,
    Never,
}

#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) subject: &'static str,
    pub(super) scopes: Choice,
    pub(super) caveats: Choice,
    pub(super) lifetime: Lifetime,
    /// Seconds from now.
    pub(super) not_before: Option<i64>,
}

#[derive(Debug, Clone)]
pub(super) enum Operation {
    Issue(u8, Wish),
    /// Of any strength, if the last field says so.
    ImportPlaintext(u8, Wish, &'static str, bool),
    ImportDigest(u8, Wish, Digest),
    Rotate(At, Duration),
    RotateAtOnce(At),
    Regrant(At, Wish),
    /// Into the ring of this number.
    Promote(At, u8, Wish),
    /// The operation, and another writer that changes a key between its read and its commit.
    Race(Rival, At, Box<Operation>),
    Narrow(At, Cut),
    /// With the label and the metadata of this number.
    Describe(At, u8),
    Revoke(At, RevocationReason),
    RevokeLineage(At, RevocationReason),
    RevokeSubject(u8, &'static str, RevocationReason),
    Purge(u8),
    RecordUses(u8),
    /// Lists the keys in pages of this length, and gets each.
    Look(u8, usize),
    Verify(At, Client),
    /// Every key that ever existed, in this ring.
    VerifyAll(u8, Client),
    /// Begins a verification whose look-up is held.
    Begin(At, Read, Client),
    /// Lets a held look-up answer, and polls its verification.
    Release(u8),
    /// Polls a verification whose look-up is held.
    Wait(u8),
    Watch(At),
    PollWatches,
    /// Time passes.
    Advance(Duration),
    /// The clock is set forward or back by this many seconds.
    SetBy(i64),
    SetToStart,
    /// The clock is set to this many seconds before the end of time.
    SetToEnd(u64),
}

/// The change of a key by another writer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rival {
    Rotate(Duration),
    RotateAtOnce,
    Narrow(Cut),
    Revoke(RevocationReason),
    RevokeLineage(RevocationReason),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Digest {
    /// Of its own text.
    New(&'static str),
    /// Of a key that exists, or existed.
    Of(Target),
}

pub(super) fn operations(longest: usize) -> impl Strategy<Value = Vec<Operation>> {
    vec(operation(), 1..=longest)
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation as Op;

    // The larger strategies are boxed: together they would overflow the stack of a test.
    // The temporary ring more often, because only many keys reach its limits.
    let ring = || prop_oneof![5 => 0..5_u8, 2 => Just(3)];
    prop_oneof![
        14 => (ring(), wish()).prop_map(|(ring, wish)| Op::Issue(ring, wish)),
        2 => (ring(), wish(), plaintext(), any::<bool>()).prop_map(|(ring, wish, text, weak)| {
            Op::ImportPlaintext(ring, wish, text, weak)
        }),
        2 => (ring(), wish(), digest()).prop_map(|(ring, wish, digest)| {
            Op::ImportDigest(ring, wish, digest)
        }),
        9 => (at(), grace()).prop_map(|(at, grace)| Op::Rotate(at, grace)),
        3 => at().prop_map(Op::RotateAtOnce),
        4 => (at(), wish()).prop_map(|(at, wish)| Op::Regrant(at, wish)),
        4 => (at(), ring(), wish()).prop_map(|(at, ring, wish)| Op::Promote(at, ring, wish)),
        8 => race(),
        5 => (at(), cut()).prop_map(|(at, cut)| Op::Narrow(at, cut)),
        2 => (at(), 0..5_u8).prop_map(|(at, number)| Op::Describe(at, number)),
        4 => (at(), reason()).prop_map(|(at, reason)| Op::Revoke(at, reason)),
        2 => (at(), reason()).prop_map(|(at, reason)| Op::RevokeLineage(at, reason)),
        1 => (ring(), subject(), reason()).prop_map(|(ring, subject, reason)| {
            Op::RevokeSubject(ring, subject, reason)
        }),
        2 => ring().prop_map(Op::Purge),
        2 => ring().prop_map(Op::RecordUses),
        1 => (ring(), 1..=4_usize).prop_map(|(ring, page)| Op::Look(ring, page)),
        6 => (at(), client()).prop_map(|(at, client)| Op::Verify(at, client)),
        3 => (ring(), client()).prop_map(|(ring, client)| Op::VerifyAll(ring, client)),
        6 => (at(), select(vec![Read::First, Read::Last]), client())
            .prop_map(|(at, read, client)| Op::Begin(at, read, client)),
        6 => any::<u8>().prop_map(Op::Release),
        1 => any::<u8>().prop_map(Op::Wait),
        3 => at().prop_map(Op::Watch),
        3 => Just(Op::PollWatches),
        8 => select(vec![0, 1, 1, 2, 2, 3, 3, 5, 5, 10, 29, 30, 31, 60, 100, 3_600])
            .prop_map(|seconds| Op::Advance(Duration::from_secs(seconds))),
        2 => select(vec![-1, -2, -5, -30, -100, -4_000, 1, 5, 60]).prop_map(Op::SetBy),
        1 => prop_oneof![
            4 => Just(Op::SetToStart),
            1 => select(vec![0, 1, 5, 100]).prop_map(Op::SetToEnd),
        ],
    ]
}

/// Mostly for one key, the key of the operation.
fn race() -> impl Strategy<Value = Operation> {
    use Operation as Op;

    let rival = prop_oneof![
        3 => grace().prop_map(Rival::Rotate),
        1 => Just(Rival::RotateAtOnce),
        2 => cut().prop_map(Rival::Narrow),
        2 => reason().prop_map(Rival::Revoke),
        1 => reason().prop_map(Rival::RevokeLineage),
    ];
    (at(), rival).prop_flat_map(|(contested, rival)| {
        let at = || prop_oneof![5 => Just(contested), 1 => at()];
        let operation = prop_oneof![
            3 => (at(), grace()).prop_map(|(at, grace)| Op::Rotate(at, grace)),
            1 => at().prop_map(Op::RotateAtOnce),
            2 => (at(), wish()).prop_map(|(at, wish)| Op::Regrant(at, wish)),
            3 => (at(), 0..5_u8, wish()).prop_map(|(at, ring, wish)| Op::Promote(at, ring, wish)),
            2 => (at(), cut()).prop_map(|(at, cut)| Op::Narrow(at, cut)),
            1 => (at(), 0..5_u8).prop_map(|(at, number)| Op::Describe(at, number)),
            1 => (at(), reason()).prop_map(|(at, reason)| Op::Revoke(at, reason)),
            1 => (at(), reason()).prop_map(|(at, reason)| Op::RevokeLineage(at, reason)),
            2 => (0..5_u8, subject(), reason()).prop_map(|(ring, subject, reason)| {
                Op::RevokeSubject(ring, subject, reason)
            }),
            1 => (0..5_u8, wish()).prop_map(|(ring, wish)| Op::Issue(ring, wish)),
        ];
        operation.prop_map(move |operation| Op::Race(rival, contested, Box::new(operation)))
    })
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        8 => any::<u8>().prop_map(Target::Head),
        3 => any::<u8>().prop_map(Target::InGrace),
        4 => any::<u8>().prop_map(Target::Ever),
        1 => Just(Target::Nowhere),
    ]
}

fn at() -> impl Strategy<Value = At> {
    let via = prop_oneof![
        7 => any::<u8>().prop_map(Via::Own),
        1 => (0..5_u8).prop_map(Via::Ring),
    ];
    (target(), via).prop_map(|(key, via)| At { key, via })
}

fn subject() -> impl Strategy<Value = &'static str> {
    select(vec!["alice", "alice", "bob", "carol"])
}

fn scopes() -> impl Strategy<Value = Choice> {
    prop_oneof![
        4 => (0..16_u8).prop_map(Choice::Within),
        1 => (0..16_u8).prop_map(Choice::Exactly),
    ]
}

/// At least one, and mostly those that one client can meet together.
fn caveats() -> impl Strategy<Value = Choice> {
    let bits = || prop_oneof![3 => select(vec![1, 2, 3, 8, 9, 11]), 1 => 1..16_u8];
    prop_oneof![
        5 => bits().prop_map(Choice::Within),
        1 => bits().prop_map(Choice::Exactly),
    ]
}

fn cut() -> BoxedStrategy<Cut> {
    let none = || Just(Choice::Exactly(0));
    prop_oneof![
        4 => (scopes().prop_map(Some), none()),
        3 => (Just(None), caveats()),
        2 => (scopes().prop_map(Some), caveats()),
    ]
    .prop_map(|(scopes, caveats)| Cut { scopes, caveats })
    .boxed()
}

/// Mostly one that meets all caveats that can be met together.
fn client() -> BoxedStrategy<Client> {
    let facts = prop_oneof![
        1 => Just((ADDRESSES[1], CERTIFICATES[1])),
        1 => (select(ADDRESSES.to_vec()), select(CERTIFICATES.to_vec())),
    ];
    facts
        .prop_map(|((address, _), (certificate, _))| Client {
            address,
            certificate,
        })
        .boxed()
}

fn wish() -> BoxedStrategy<Wish> {
    let subject = prop_oneof![
        20 => subject(),
        1 => select(vec!["", "ali\nce", "\u{7f}", TOO_LONG]),
    ];
    let lifetime = prop_oneof![
        4 => Just(Lifetime::Default),
        12 => select(vec![1, 2, 5, 60, 600, 900])
            .prop_map(|seconds| Lifetime::For(Duration::from_secs(seconds))),
        1 => select(vec![0, 3_600, 3_601, 7_776_000, 7_776_001, u64::MAX])
            .prop_map(|seconds| Lifetime::For(Duration::from_secs(seconds))),
        1 => select(vec![999, 1_999])
            .prop_map(|millis| Lifetime::For(Duration::from_millis(millis))),
        2 => select(vec![-1, 0, 1, 10, 300]).prop_map(Lifetime::Until),
        1 => Just(Lifetime::UntilMax),
        1 => Just(Lifetime::Never),
    ];
    let not_before = prop_oneof![
        6 => Just(None),
        2 => select(vec![-10, 0, 1, 5, 60]).prop_map(Some),
        1 => select(vec![1_000, 10_000_000, i64::MAX]).prop_map(Some),
    ];
    let caveats = prop_oneof![1 => Just(Choice::Exactly(0)), 1 => caveats()];
    (subject, scopes(), caveats, lifetime, not_before)
        .prop_map(|(subject, scopes, caveats, lifetime, not_before)| Wish {
            subject,
            scopes,
            caveats,
            lifetime,
            not_before,
        })
        .boxed()
}

/// 257 bytes.
const TOO_LONG: &str = match str::from_utf8(&[b's'; 257]) {
    Ok(text) => text,
    Err(_) => "",
};

fn grace() -> impl Strategy<Value = Duration> {
    prop_oneof![
        8 => select(vec![1, 2, 5, 20, 30, 60]).prop_map(Duration::from_secs),
        1 => select(vec![0, 86_400, 86_401, u64::MAX]).prop_map(Duration::from_secs),
        1 => select(vec![1, 999, 1_500, 86_400_001]).prop_map(Duration::from_millis),
    ]
}

fn reason() -> impl Strategy<Value = RevocationReason> {
    use RevocationReason as Reason;

    select(vec![
        Reason::Unspecified,
        Reason::KeyCompromise,
        Reason::AffiliationChanged,
        Reason::Superseded,
        Reason::Superseded,
        Reason::CessationOfOperation,
        Reason::PrivilegeWithdrawn,
    ])
}

fn plaintext() -> impl Strategy<Value = &'static str> {
    select(vec![
        "Legacy.token~1f3A7b2C5d8E1f4G6h0J-k+/=",
        "Legacy.token~2f3A7b2C5d8E1f4G6h0J-k+/=",
        "Legacy.token~3f3A7b2C5d8E1f4G6h0J-k+/=",
        // Twice, so that a short run meets it as well.
        "guessable1234",
        "guessable1234",
        "with a space and, a comma 9f3A7b2C5d8E",
        "",
    ])
}

fn digest() -> impl Strategy<Value = Digest> {
    prop_oneof![
        select(vec![
            "Digest.only~1a2B3c4D5e6F7g8H9i0J",
            "Digest.only~2a2B3c4D5e6F7g8H9i0J"
        ])
        .prop_map(Digest::New),
        target().prop_map(Digest::Of),
    ]
}
