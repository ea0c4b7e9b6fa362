//! Temporary keys that become real ones while they are in use.

use std::sync::Barrier;
use std::thread;

use tower_api_key::store::ListQuery;
use tower_api_key::{ErrorKind, Grant, KeyRing};

use super::swaps::{Arrivals, swap_is_one_step};
use super::{Steps, block_on, verdict};

fn rings(store: &Steps) -> (KeyRing, KeyRing) {
    let visitors = KeyRing::builder("visit")
        .grantable_scopes(["cart"])
        .build(store.clone())
        .unwrap();
    let customers = KeyRing::builder("acme").build(store.clone()).unwrap();
    (visitors, customers)
}

fn visitor() -> Grant {
    Grant::new("alice").scopes(["cart"])
}

fn customer() -> Grant {
    Grant::new("alice").scopes(["cart", "orders"])
}

#[test]
fn invariant_3_a_temporary_key_is_dead_before_the_real_one_is_found() {
    for store in Steps::all() {
        let (store, arrivals) = Arrivals::of(store);
        let (visitors, customers) = rings(&store);
        for _ in 0..150 {
            let temporary = block_on(visitors.issue(visitor())).unwrap();
            let old = [(&visitors, &temporary)];
            swap_is_one_step(&store, &arrivals, &old, || {
                let id = temporary.record().id();
                block_on(customers.promote(&visitors, id, customer())).unwrap();
            });
        }
    }
}

#[test]
fn invariant_6_of_several_promotions_one_wins() {
    const EACH: usize = 3;
    for store in Steps::all() {
        let (visitors, customers) = rings(&store);
        for _ in 0..60 {
            let temporary = block_on(visitors.issue(visitor())).unwrap();
            let id = temporary.record().id();
            let start = Barrier::new(EACH);
            let ends: Vec<_> = thread::scope(|threads| {
                let promotions: Vec<_> = (0..EACH)
                    .map(|_| {
                        threads.spawn(|| {
                            start.wait();
                            block_on(customers.promote(&visitors, id, customer()))
                        })
                    })
                    .collect();
                promotions
                    .into_iter()
                    .map(|promotion| promotion.join().unwrap())
                    .collect()
            });
            let mut won = 0;
            for end in ends {
                match end {
                    Ok(real) => {
                        won += 1;
                        let key = real.secret().expose();
                        assert_eq!(verdict(&customers, key), Ok("alice".to_owned()));
                    }
                    Err(error) => assert_eq!(error.kind(), ErrorKind::KeyRevoked),
                }
            }
            assert_eq!(won, 1);
            let lineage = ListQuery::new().lineage(id);
            let reals = block_on(customers.list(&lineage)).unwrap();
            assert_eq!(reals.len(), 1, "the losers left nothing");
            let temporary = block_on(visitors.get(id)).unwrap().unwrap();
            assert_eq!(temporary.version(), 2, "revoked once");
        }
    }
}
