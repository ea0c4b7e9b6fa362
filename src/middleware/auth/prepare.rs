//! From the settings of a layer to what requests are judged by.

use std::sync::Arc;

use tower_layer::Layer;

use super::authenticator::Authenticator;
use super::gate::{FollowUp, Gate};
use super::layer::ApiKeyLayer;
use super::lifetime::LifetimeHeaders;
use super::service::ApiKeyAuth;
use crate::access::caveat::CaveatKind;
use crate::access::requirement::Requirement;
use crate::middleware::guard::routes::RouteTable;
use crate::middleware::rejection::{Required, Responses};
use crate::observe::observed::Observed;
use crate::ring::KeyRing;

impl<S> Layer<S> for ApiKeyLayer {
    type Service = ApiKeyAuth<S>;

    /// # Panics
    ///
    /// If a ring [grants](crate::KeyRingBuilder::grantable_caveats) a caveat for which the layer has no
    /// source of facts, or [tracks networks](crate::KeyRingBuilder::track_networks) and the layer has no source of
    /// addresses, so that the mistake shows at startup.
    #[track_caller]
    fn layer(&self, inner: S) -> ApiKeyAuth<S> {
        ApiKeyAuth::new(inner, self.prepare())
    }
}

impl ApiKeyLayer {
    /// The layer's decision as a call, for a service that authenticates in an extractor or in a handler.
    ///
    /// ```
    /// use tower_api_key::{ApiKeyLayer, KeyRing, store::MemoryStore};
    ///
    /// let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
    /// let authenticator = ApiKeyLayer::new(ring).require("orders:read").authenticator();
    /// # Ok::<(), tower_api_key::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If a ring [grants](crate::KeyRingBuilder::grantable_caveats) a caveat for which the layer has no
    /// source of facts, or [tracks networks](crate::KeyRingBuilder::track_networks) and the layer has no source of
    /// addresses, as the layer does when it wraps a service.
    #[track_caller]
    pub fn authenticator(&self) -> Authenticator {
        Authenticator::new(self.prepare())
    }

    /// Prepares everything that requests are judged by.
    #[track_caller]
    fn prepare(&self) -> Gate {
        for ring in self.rings() {
            let mut kinds = ring.grantable_caveats().iter();
            if let Some(kind) = kinds.find(|kind| !self.facts.cover(**kind)) {
                panic!("{}", without_source(*kind));
            }
            assert!(
                !ring.tracks_networks() || self.facts.cover(CaveatKind::Net),
                "{NETWORKS_WITHOUT_SOURCE}"
            );
        }
        let responses = Arc::new(Responses::new(
            self.ring.realm(),
            &self.sources,
            self.profile,
            self.responder.clone(),
        ));
        let others = self.others.iter().map(|other| {
            let required = other.required.as_ref().or(self.required.as_ref());
            Arc::new(self.gate(&other.ring, required, &responses, Box::default()))
        });
        let required = self.required.as_ref();
        self.gate(&self.ring, required, &responses, others.collect())
    }

    fn gate(
        &self,
        ring: &KeyRing,
        required: Option<&Requirement>,
        responses: &Arc<Responses>,
        others: Box<[Arc<Gate>]>,
    ) -> Gate {
        let mut of_others = self.others.iter().map(|other| &other.required);
        let needs_a_key = self.required.is_some() || of_others.any(Option::is_some);
        let of_table = self.routes.as_ref().map(RouteTable::has_public);
        let is_optional = of_table.unwrap_or(self.optional);
        let mut prefixes = vec![ring.prefix()];
        let mut strangers = Vec::new();
        for other in &others {
            if !prefixes.contains(&other.ring.prefix()) {
                prefixes.push(other.ring.prefix());
                strangers.push(Arc::clone(other));
            }
        }
        let observer = ring.observer().and(&self.observer);
        Gate {
            ring: ring.clone(),
            sources: self.sources.clone(),
            required: required
                .map(|required| Required::new(required.clone(), self.responder.clone())),
            routes: self.routes.clone(),
            optional: is_optional && !needs_a_key && !self.sources.is_empty(),
            on_refusal: self.on_refusal,
            forward: self.forward,
            vary: self.guard_responses.then(|| self.sources.vary()),
            responses: Arc::clone(responses),
            follow_up: self.follow_up(&observer),
            observer,
            attribution: self.attribution.clone(),
            lifetime: self.announced(),
            facts: self.facts.clone(),
            others,
            strangers: strangers.into(),
        }
    }

    fn follow_up(&self, observer: &Observed) -> FollowUp {
        if observer.reads_keys() || self.attribution.in_response || self.announced().is_some() {
            FollowUp::OfKey
        } else if observer.is_set() || self.responder.is_some() {
            FollowUp::OfOutcome
        } else {
            FollowUp::Nothing
        }
    }

    /// A response that is not guarded may be stored for others, and names no end.
    pub(super) fn announced(&self) -> Option<LifetimeHeaders> {
        self.lifetime.filter(|_| self.guard_responses)
    }
}

const NETWORKS_WITHOUT_SOURCE: &str = "the ring tracks the networks of clients, and this ApiKeyLayer does not know them: call client_address on the \
     layer, or do not call track_networks on the ring";

fn without_source(kind: CaveatKind) -> String {
    let call = match kind {
        CaveatKind::Net => "client_address",
        CaveatKind::Confirmation => "client_certificate",
    };
    format!(
        "the ring grants the caveat {kind}, and this ApiKeyLayer cannot check it: call {call} on the layer, or \
         do not name {kind} in grantable_caveats of the ring"
    )
}
