//! Caveats, the clients that meet them, and invariant 14.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tower_api_key::{Caveats, Facts, KeyId, KeyRecord};

use super::Check;
use super::ledger::Authority;

const TEN: &str = "net=10.0.0.0/8";
const TEN_ONE: &str = "net=10.1.0.0/16";
const TEST_NET: &str = "net=192.0.2.0/24";
const BOUND: &str = "cnf=x5t#S256:A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0";

pub(super) const CAVEATS: [&str; 4] = [TEN, TEN_ONE, TEST_NET, BOUND];

/// A fact, or none, and the caveats that it meets.
type Meets = (Option<&'static str>, &'static [&'static str]);

pub(super) const ADDRESSES: [Meets; 7] = [
    (None, &[]),
    (Some("10.1.2.3"), &[TEN, TEN_ONE]),
    (Some("::ffff:10.1.2.3"), &[TEN, TEN_ONE]),
    (Some("10.2.2.3"), &[TEN]),
    (Some("192.0.2.7"), &[TEST_NET]),
    (Some("203.0.113.9"), &[]),
    (Some("2001:db8::7"), &[]),
];

pub(super) const CERTIFICATES: [Meets; 3] = [
    (None, &[]),
    (
        Some("A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"),
        &[BOUND],
    ),
    (Some("B4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"), &[]),
];

/// The client of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) address: Option<&'static str>,
    pub(super) certificate: Option<&'static str>,
}

impl Client {
    pub(super) const UNKNOWN: Self = Self {
        address: None,
        certificate: None,
    };

    pub(super) fn facts(self) -> Facts {
        let mut facts = Facts::none();
        if let Some(address) = self.address {
            facts = facts.client_address(address.parse().unwrap());
        }
        if let Some(certificate) = self.certificate {
            facts = facts.client_certificate(certificate.parse().unwrap());
        }
        facts
    }

    pub(super) fn meets(self, caveat: &str) -> bool {
        let meets = |facts: &[Meets], fact: Option<&str>| {
            facts
                .iter()
                .any(|(one, met)| *one == fact && met.contains(&caveat))
        };
        meets(&ADDRESSES, self.address) || meets(&CERTIFICATES, self.certificate)
    }
}

/// All caveats of both sets.
pub(super) fn both(one: &Caveats, other: &Caveats) -> Caveats {
    let all: BTreeSet<&str> = one.iter().chain(other.iter()).collect();
    Caveats::new(all).unwrap()
}

pub(super) fn invariant_14_caveats_only_grow(before: &KeyRecord, after: &KeyRecord) -> Check {
    for caveat in before.caveats().iter() {
        prop_assert!(
            after.caveats().iter().any(|kept| kept == caveat),
            "invariant 14: {} lost {caveat} and has {:?}",
            after.id(),
            after.caveats()
        );
    }
    Ok(())
}

pub(super) fn invariant_14_an_accept_meets_every_caveat(
    id: KeyId,
    client: Client,
    authority: Option<&Authority>,
) -> Check {
    for caveat in authority.iter().flat_map(|it| &it.caveats) {
        prop_assert!(
            client.meets(caveat),
            "invariant 14: {id} has {caveat}, and was accepted from {client:?}"
        );
    }
    Ok(())
}
