//! One number of keys in every candidate's own records.

use std::fmt;
use std::hint::black_box;
use std::sync::{Arc, OnceLock, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower_api_key::store::MemoryStore;
use tower_api_key::{
    Access, ApiKeyLayer, Event, KeyRing, Requirement, RouteTable, SpanFields, observer_fn,
};
use tower_http::validate_request::ValidateRequestHeaderLayer;
use tower_layer::Layer;

use crate::by_hand::{self, Record, Why};
use crate::candidate::Candidate;
use crate::copied::Copied;
use crate::floor::{self, Floor};
use crate::keys::{Draws, Keys, scopes, subject_name};
use crate::recorder::Counting;
use crate::request::{Presented, request};
use crate::span;
use crate::subject::{Inner, Plain, Subject, subject};

/// Keys, and the records of each candidate.
///
/// No two candidates that are compared read the same records, so that none gains from lines that another
/// brought into the cache. All records are inserted one by one, because a table that grew can differ from
/// one of the right size.
pub struct Setup {
    keys: Keys,
    scopes: Vec<String>,
    ring: KeyRing,
    tracking: KeyRing,
    observed: KeyRing,
    store: MemoryStore,
    replica: OnceLock<KeyRing>,
    floor: OnceLock<Arc<floor::Records>>,
    by_hand: OnceLock<Arc<by_hand::Records>>,
}

impl Setup {
    /// This many keys, each with this many scopes. Neither is 0.
    pub fn new(keys: usize, scope_count: usize) -> Self {
        let store = MemoryStore::new();
        let builder = || KeyRing::builder("acme_live");
        let ring = builder().build(store.clone()).unwrap();
        let scopes = scopes(scope_count);
        Self {
            keys: Keys::issue(&ring, keys, &scopes),
            scopes,
            ring,
            tracking: builder().track_last_use().build(store.clone()).unwrap(),
            observed: builder()
                .observer(observer_fn(ignore))
                .build(store.clone())
                .unwrap(),
            store,
            replica: OnceLock::new(),
            floor: OnceLock::new(),
            by_hand: OnceLock::new(),
        }
    }

    /// How many keys are valid.
    pub fn size(&self) -> usize {
        self.keys.valid.len()
    }

    /// The keys that are valid.
    pub fn keys(&self) -> &[String] {
        &self.keys.valid
    }

    /// The ring that issued the keys.
    pub fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// The next request.
    pub fn request(&self, presented: Presented, headers: usize, draws: &mut Draws) -> Request<()> {
        let keys = match presented {
            Presented::Valid => &self.keys.valid,
            Presented::Unknown => &self.keys.unknown,
            Presented::Malformed => &self.keys.malformed,
            Presented::Missing => return request(None, headers),
        };
        request(Some(&keys[draws.next(keys.len())]), headers)
    }

    /// The scopes of each key, in the order of their set.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// A candidate. It requires the last scope that the keys have, in the order of their set.
    pub fn subject(&self, candidate: Candidate) -> Box<dyn Subject> {
        let layer = |ring: &KeyRing| ApiKeyLayer::new(ring.clone());
        let required = self.scopes.last().unwrap().as_str();
        match candidate {
            Candidate::Bare => subject(Inner),
            Candidate::Floor => subject(self.floor_with(false)),
            Candidate::FloorGuard => subject(self.floor_with(true)),
            Candidate::ByHand => subject(self.rival_with(by_hand::short)),
            Candidate::ByHandAlike => subject(self.rival_with(by_hand::alike)),
            Candidate::Layer => {
                let layer = layer(&self.ring).danger_without_cache_guard();
                subject(layer.require(required).layer(Inner))
            }
            Candidate::Default => subject(layer(&self.ring).require(required).layer(Inner)),
            Candidate::AllScopes => {
                let layer = layer(&self.ring).danger_without_cache_guard();
                let all = Requirement::all(self.scopes.iter().map(String::as_str)).unwrap();
                subject(layer.require(all).layer(Inner))
            }
            Candidate::Routed => subject(layer(&self.ring).routes(routes(required)).layer(Inner)),
            Candidate::Tracked => subject(layer(&self.tracking).require(required).layer(Inner)),
            Candidate::Replica => subject(layer(self.replica()).require(required).layer(Inner)),
            Candidate::Named => {
                let layer = layer(&self.ring).caller_in_response();
                subject(layer.require(required).layer(Inner))
            }
            Candidate::Traced => {
                span::enter();
                let layer = layer(&self.ring).span_fields(SpanFields::new());
                subject(layer.require(required).layer(Inner))
            }
            Candidate::TracedByHand => {
                span::enter();
                subject(span::ByHand)
            }
            Candidate::Measured => {
                let ring = metrics::with_local_recorder(&Counting, || {
                    let builder = KeyRing::builder("acme_live").metrics();
                    builder.build(self.store.clone()).unwrap()
                });
                subject(layer(&ring).require(required).layer(Inner))
            }
            Candidate::Observed => subject(layer(&self.observed).require(required).layer(Inner)),
        }
    }

    /// The floor with the two headers of the response cache guard, or without them.
    pub fn floor_with<B>(&self, guard: bool) -> impl Plain<B> + use<B> {
        let records = Arc::clone(self.floor());
        Floor { records, guard }
    }

    /// The rival by hand.
    pub fn rival<B>(&self) -> impl Plain<B> + use<B> {
        self.rival_with(by_hand::short)
    }

    fn rival_with<B>(&self, refusal: fn(Why) -> Response<Full<Bytes>>) -> impl Plain<B> + use<B> {
        let required = self.scopes.last().unwrap();
        let records = Arc::clone(self.by_hand());
        let check = by_hand::check(records, required.to_owned(), refusal);
        ValidateRequestHeaderLayer::custom(check).layer(Inner)
    }

    fn records(&self) -> impl Iterator<Item = Arc<Record>> {
        let keys = self.keys.valid.iter().enumerate();
        keys.map(|(index, key)| {
            Arc::new(Record::new(key, subject_name(index), self.scopes.clone()))
        })
    }

    fn replica(&self) -> &KeyRing {
        self.replica.get_or_init(|| {
            let copied = Copied::of(&self.ring, &self.store);
            KeyRing::builder("acme_live").build(copied).unwrap()
        })
    }

    fn floor(&self) -> &Arc<floor::Records> {
        self.floor.get_or_init(|| {
            let mut records = floor::Records::default();
            for record in self.records() {
                records.insert(record.digest, record);
            }
            Arc::new(records)
        })
    }

    fn by_hand(&self) -> &Arc<by_hand::Records> {
        self.by_hand.get_or_init(|| {
            let records = by_hand::Records::default();
            for record in self.records() {
                let mut records = records.write().unwrap_or_else(PoisonError::into_inner);
                records.insert(record.digest, record);
            }
            Arc::new(records)
        })
    }
}

/// The routes of a service, one of which is that of the requests.
fn routes(required: &str) -> RouteTable {
    let table = RouteTable::builder()
        .get("/health", Access::Public)
        .get("/me", Access::AnyKey)
        .get("/orders", "orders:list")
        .post("/orders", "orders:write")
        .get("/orders/{id}", required)
        .delete("/orders/{id}", "orders:write")
        .get("/orders/{id}/items", "items:list")
        .get("/orders/{id}/items/{item}", "items:read")
        .get("/customers/{id}", "customers:read")
        .any_method("/files/{*path}", "files");
    table.build().unwrap()
}

fn ignore(event: &Event<'_>) {
    black_box(event);
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup")
            .field("size", &self.size())
            .field("scopes", &self.scopes.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::header::{CACHE_CONTROL, VARY};

    use super::*;
    use crate::request::{LEAST_HEADERS, MOST_HEADERS};

    #[test]
    fn each_candidate_answers_what_it_should() {
        let setup = Setup::new(20, 3);
        for candidate in Candidate::ALL {
            let mut subject = setup.subject(candidate);
            for presented in Presented::ALL {
                for headers in [LEAST_HEADERS, MOST_HEADERS] {
                    if let Some(status) = candidate.status(presented) {
                        let request = setup.request(presented, headers, &mut Draws::random(0));
                        let given = request.headers().len();
                        let without_key = usize::from(presented == Presented::Missing);
                        assert_eq!(given, headers - without_key);
                        assert_eq!(subject.run(request), status, "{candidate:?} {presented:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn one_rival_refuses_as_the_layer_does() {
        let setup = Setup::new(20, 3);
        for presented in [Presented::Unknown, Presented::Malformed, Presented::Missing] {
            let refused = |candidate| {
                let request = setup.request(presented, LEAST_HEADERS, &mut Draws::random(0));
                setup.subject(candidate).answer(request)
            };
            let (layer, rival) = (refused(Candidate::Default), refused(Candidate::ByHandAlike));
            assert_eq!(layer.status, rival.status, "{presented:?}");
            assert_eq!(layer.headers, rival.headers, "{presented:?}");
            assert_eq!(
                rival.extensions.len(),
                layer.extensions.len(),
                "{presented:?}"
            );
        }
    }

    #[test]
    fn the_floor_writes_the_headers_of_the_guard() {
        let setup = Setup::new(20, 3);
        let head = |candidate| {
            let request = setup.request(Presented::Valid, LEAST_HEADERS, &mut Draws::Hot);
            setup.subject(candidate).answer(request).headers
        };
        let guarded = head(Candidate::Default);
        assert_eq!(guarded, head(Candidate::FloorGuard));
        assert!(guarded.contains_key(VARY) && guarded.contains_key(CACHE_CONTROL));
        for like_with_like in [Candidate::Floor, Candidate::ByHand, Candidate::Layer] {
            assert!(head(like_with_like).is_empty(), "{like_with_like:?}");
        }
    }
}
