//! Disks that stall. A gate simulates them: a read waits at it until the test opens it.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tower_api_key::store::{KeyStore, Lookup};
use tower_api_key::{Grant, Issued};

use super::{File, PATIENCE, ring};
use crate::SqliteStore;

#[derive(Default)]
struct Gate {
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Gate {
    /// In front of the reads of a store.
    fn of(store: &SqliteStore) -> Arc<Self> {
        let gate = Arc::new(Self::default());
        let passed = Arc::clone(&gate);
        *store.0.readers.gate.lock().unwrap() = Some(Arc::new(move || passed.pass()));
        gate
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        self.changed.notify_all();
        let wait = self.changed.wait_timeout_while(state, PATIENCE, |it| !it.1);
        assert!(!wait.unwrap().1.timed_out());
    }

    fn until_someone_waits(&self) {
        let state = self.state.lock().unwrap();
        let wait = self
            .changed
            .wait_timeout_while(state, PATIENCE, |it| it.0 == 0);
        assert!(!wait.unwrap().1.timed_out());
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

fn find(store: &SqliteStore, issued: &Issued) -> Lookup {
    store.find(issued.record().realm(), issued.record().digest())
}

/// Waits for a state that another thread reaches eventually.
fn until(condition: impl Fn() -> bool) {
    let mut waited = Duration::ZERO;
    while !condition() {
        assert!(waited < PATIENCE);
        std::thread::sleep(Duration::from_millis(1));
        waited += Duration::from_millis(1);
    }
}

/// A read that stalls in one thread blocks no other thread: they leave theirs to the worker.
#[tokio::test]
async fn r20_a_read_that_stands_still_holds_no_other_up() {
    let file = File::new("still");
    let store = SqliteStore::open(&file.0).unwrap();
    let ring = ring(&store);
    let issued = Arc::new(ring.issue(Grant::new("alice")).await.unwrap());
    let gate = Gate::of(&store);
    let stands = std::thread::spawn({
        let (store, issued) = (store.clone(), Arc::clone(&issued));
        move || matches!(find(&store, &issued), Lookup::Ready(Ok(Some(_))))
    });
    gate.until_someone_waits();
    until(|| store.0.place.state.is_slow());
    for _ in 0..40 {
        // As long as it stalls, fast reads of the worker change nothing.
        let Lookup::Pending(found) = find(&store, &issued) else {
            panic!("a look-up reads in place");
        };
        assert_eq!(found.await.unwrap().as_ref(), Some(issued.record()));
        let presented = issued.secret().expose().as_bytes();
        assert_eq!(ring.verify(presented).await.unwrap().subject(), "alice");
        assert!(ring.get(issued.record().id()).await.unwrap().is_some());
    }
    gate.open();
    assert!(stands.join().unwrap(), "the read ends with its answer");
    // Reads are fast again, and after some of them look-ups are answered in place.
    let mut later = 0;
    while let Lookup::Pending(found) = find(&store, &issued) {
        found.await.unwrap();
        later += 1;
        assert!(later < 10_000, "look-ups never return to their place");
    }
    assert!(later >= 1);
}

/// A slow read that has ended needs no other thread to detect it: it reports itself.
#[tokio::test]
async fn r20_after_a_slow_read_look_ups_are_left_to_the_worker() {
    let file = File::new("slow");
    let store = SqliteStore::open(&file.0).unwrap();
    let ring = ring(&store);
    let issued = ring.issue(Grant::new("alice")).await.unwrap();
    let slow = Duration::from_millis(60);
    *store.0.readers.gate.lock().unwrap() = Some(Arc::new(move || std::thread::sleep(slow)));
    // No other thread checks.
    store.0.pace.stop();
    let found = find(&store, &issued);
    assert!(matches!(found, Lookup::Ready(Ok(Some(_)))), "{found:?}");
    let Lookup::Pending(found) = find(&store, &issued) else {
        panic!("a look-up reads in place");
    };
    assert_eq!(found.await.unwrap().as_ref(), Some(issued.record()));
}
