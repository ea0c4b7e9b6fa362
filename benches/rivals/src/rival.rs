//! The crates, each as it is fastest for this job, and their bare services.

use std::sync::Arc;

use http::response::Parts;
use http::{HeaderName, StatusCode};
use rskit_auth::apikey::ApiKeyLayer;
use tower_api_key_overhead::{
    Candidate, Draws, Inner, LEAST_HEADERS, Presented, Setup, Subject, request, subject,
};
use tower_layer::Layer;
use ts_webapi::middleware::ApiKeyAuth;

use crate::rskit::Validator;

/// A way to do the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rival {
    /// `tower_api_key::ApiKeyLayer` with its defaults.
    Ours,
    /// The same without its cache guard: no other crate writes those two headers.
    Unguarded,
    /// By hand, on tower-http's `ValidateRequestHeaderLayer::custom`.
    TowerHttp,
    /// A validator of our own behind rskit-auth's layer: its digest of a key finds the key.
    Rskit,
    /// modo-rs's layer and its guard for scopes, over a map in memory.
    #[cfg(feature = "modo")]
    Modo,
    /// composable-tower-http's layer over a set of plaintext keys. It knows no scopes and no expiry.
    #[cfg(feature = "composable")]
    Composable,
    /// A list of plaintext keys, compared one after the other. It knows no scopes and no expiry.
    TsWebapi,
}

impl Rival {
    pub(crate) const ALL: &[Self] = &[
        Self::Ours,
        Self::Unguarded,
        Self::TowerHttp,
        Self::Rskit,
        #[cfg(feature = "modo")]
        Self::Modo,
        #[cfg(feature = "composable")]
        Self::Composable,
        Self::TsWebapi,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "tower-api-key",
            Self::Unguarded => "tower-api-key, no guard",
            Self::TowerHttp => "tower-http, by hand",
            Self::Rskit => "rskit-auth",
            #[cfg(feature = "modo")]
            Self::Modo => "modo-rs",
            #[cfg(feature = "composable")]
            Self::Composable => "composable-tower-http",
            Self::TsWebapi => "ts-webapi",
        }
    }

    pub(crate) const fn status(self, presented: Presented) -> StatusCode {
        match (self, presented) {
            (_, Presented::Valid) => StatusCode::OK,
            (Self::TsWebapi, Presented::Unknown | Presented::Malformed) => StatusCode::FORBIDDEN,
            _ => StatusCode::UNAUTHORIZED,
        }
    }
}

/// A service with its keys.
pub(crate) struct Contest<'a> {
    subject: Box<dyn Subject>,
    setup: &'a Setup,
    /// Those of a crate that mints keys of its own form: valid and unknown ones.
    own: Option<[Vec<String>; 2]>,
    draws: Draws,
}

impl<'a> Contest<'a> {
    pub(crate) fn new(rival: Rival, setup: &'a Setup) -> Self {
        let (subject, own) = match rival {
            Rival::Ours => (setup.subject(Candidate::Default), None),
            Rival::Unguarded => (setup.subject(Candidate::Layer), None),
            Rival::TowerHttp => (setup.subject(Candidate::ByHand), None),
            Rival::Rskit => {
                let layer = ApiKeyLayer::new(Validator::new(setup.keys(), setup.scopes()));
                (subject(layer.layer(Inner)), None)
            }
            #[cfg(feature = "modo")]
            Rival::Modo => {
                let (subject, own) = crate::modo::service(setup.size(), setup.scopes());
                (subject, Some(own))
            }
            #[cfg(feature = "composable")]
            Rival::Composable => (crate::composable::service(setup.keys()), None),
            Rival::TsWebapi => {
                let layer = ApiKeyAuth {
                    header: Arc::new(HeaderName::from_static("x-api-key")),
                    allowed_keys: Arc::new(setup.keys().to_vec()),
                };
                (subject(layer.layer(Inner)), None)
            }
        };
        Self {
            subject,
            setup,
            own,
            draws: Draws::random(1),
        }
    }

    /// The service of the same types without a check.
    pub(crate) fn bare(rival: Rival, setup: &'a Setup) -> Self {
        let subject = match rival {
            #[cfg(feature = "modo")]
            Rival::Modo => crate::modo::bare(),
            _ => setup.subject(Candidate::Bare),
        };
        Self {
            subject,
            setup,
            own: None,
            draws: Draws::random(2),
        }
    }

    /// Serves a request, which it builds.
    pub(crate) fn run(&mut self, presented: Presented) {
        let request = self.request(presented);
        self.subject.run(request);
    }

    /// The head of the response to a request of this number.
    pub(crate) fn answer(&mut self, presented: Presented, number: u64) -> Parts {
        self.draws = Draws::random(number);
        let request = self.request(presented);
        self.subject.answer(request)
    }

    fn request(&mut self, presented: Presented) -> http::Request<()> {
        let keys = match (presented, &self.own) {
            (Presented::Valid, Some([valid, _])) => valid,
            (Presented::Unknown | Presented::Malformed, Some([_, unknown])) => unknown,
            _ => {
                return self
                    .setup
                    .request(presented, LEAST_HEADERS, &mut self.draws);
            }
        };
        request(Some(&keys[self.draws.next(keys.len())]), LEAST_HEADERS)
    }
}
