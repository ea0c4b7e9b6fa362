use super::*;
use crate::access::requirement::Requirement;
use crate::key::digest::KeyDigest;
use crate::record::{KeyRecord, KeyRecordParts};
use crate::{Realm, ScopeSet};

fn held() -> Held {
    let realm = Realm::new("orders").expect("a realm");
    let subject = "alice".parse().expect("a subject");
    let digest = KeyDigest::sha256(b"a key");
    let id = KeyId::from_hash([7; 16]);
    let mut parts = KeyRecordParts::new(id, realm, digest, subject, Timestamp::from_unix(9));
    parts.scopes = "a b c".parse().expect("scopes");
    Arc::new(KeyRecord::from(parts)).into()
}

fn both() -> Noting {
    Noting::new(Noted {
        scopes: true,
        networks: true,
    })
}

/// A request with this key, from this network, for this scope. The time passes in between.
fn request(noting: &Noting, record: &Held, network: u8, scope: &str, wait: impl Fn()) {
    let facts = || Facts::none().client_address([10, 0, network, 1].into());
    let record = noting.note(record.clone(), || Timestamp::from_unix(10), &facts);
    wait();
    let requirement = Requirement::scope(scope).expect("a scope");
    let notes = record.notes().expect("the ring notes scopes");
    notes.exercise(&requirement, record.scopes());
}

fn sum(taken: &[(KeyId, KeyUsage)]) -> KeyUsage {
    let mut sum = KeyUsage::new();
    for (_, usage) in taken {
        sum.add(usage);
    }
    sum
}

fn scopes(usage: &KeyUsage) -> ScopeSet {
    let used = usage.scopes().expect("a use was tracked");
    used.scopes().clone()
}

#[cfg(not(shuttle))]
mod with_threads {
    use super::*;

    #[test]
    fn what_is_noted_is_taken_once() {
        let (noting, record) = (both(), held());
        for _ in 0..3 {
            request(&noting, &record, 1, "b", || {});
        }
        let taken = noting.take();
        assert_eq!(taken.len(), 1);
        let usage = sum(&taken);
        assert_eq!(scopes(&usage).as_str(), "b");
        assert_eq!(usage.networks().map(|it| it.networks().len()), Some(1));
        assert_eq!(noting.take(), []);
    }

    /// Notes that no request holds any more are let go of, so that a ring does not grow with the keys that it has seen.
    #[test]
    fn r23_notes_are_let_go_of() {
        let (noting, record) = (both(), held());
        for _ in 0..2_000 {
            request(&noting, &record, 1, "b", || {});
            noting.take();
        }
        // The map frees what it removed in batches.
        let kept = noting.rest().taken.len();
        assert!(kept < 1_000, "{kept}");
        assert_eq!(noting.keys.len(), 0);
    }
}

/// The map is a stand-in here; the protocol between a request and a take is the crate's.
#[cfg(shuttle)]
mod shuttle_ {
    use shuttle::thread;

    use super::*;

    const ITERATIONS: usize = 5_000;

    #[test]
    fn nothing_is_lost_between_requests_and_takes() {
        shuttle::check_random(requests_beside_takes, ITERATIONS);
        shuttle::check_pct(requests_beside_takes, ITERATIONS, 3);
    }

    fn requests_beside_takes() {
        let noting = Arc::new(both());
        let record = held();
        let requests: Vec<_> = [(1, "a"), (2, "c")]
            .into_iter()
            .map(|(network, scope)| {
                let (noting, record) = (Arc::clone(&noting), record.clone());
                thread::spawn(move || {
                    request(&noting, &record, network, scope, thread::yield_now);
                })
            })
            .collect();
        let takers: Vec<_> = (0..2)
            .map(|_| {
                let noting = Arc::clone(&noting);
                thread::spawn(move || noting.take())
            })
            .collect();
        for request in requests {
            request.join().expect("noting does not panic");
        }
        let mut taken: Vec<_> = takers
            .into_iter()
            .flat_map(|taker| taker.join().expect("taking does not panic"))
            .collect();
        taken.extend(noting.take());
        let usage = sum(&taken);
        assert_eq!(scopes(&usage).as_str(), "a c");
        assert_eq!(usage.networks().map(|it| it.networks().len()), Some(2));
    }
}
