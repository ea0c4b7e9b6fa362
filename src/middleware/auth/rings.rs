//! Several rings of one layer.

use super::layer::ApiKeyLayer;
use super::other_ring::OtherRing;
use crate::access::realm::Realm;
use crate::access::requirement::{IntoRequirement, Requirement};
use crate::ring::{KeyRing, Verifier};

impl ApiKeyLayer {
    /// Accepts the keys of another ring too. Called again, it adds a further ring.
    ///
    /// The rings are asked in their order, and the first that knows the key decides. A key that is expired
    /// or revoked in one ring is refused, even if a later ring would accept it, for as long as that ring keeps
    /// its record: if two rings hold one key, revoke it in both. A key that a ring does not know goes on to the
    /// next. If a ring's store fails, the request is refused with 503, even if a later
    /// ring would accept the key. A ring is not asked about a key that does not have its prefix, unless it
    /// [accepts imports](crate::KeyRingBuilder::accept_imports). So if two rings have different prefixes,
    /// an outage of one does not affect the keys of the other.
    ///
    /// - [`VerifiedKey::realm`](crate::VerifiedKey::realm) says which ring accepted the key.
    /// - The observer of the ring that decided receives the event. If no ring knows the key, that is the
    ///   first ring that was asked. For a request without a key, and for a text that has the form of no
    ///   ring's keys, it is the layer's first ring.
    /// - A 401 names the realm of the layer's first ring, and is the same whichever ring decided. A 403
    ///   names the realm of the key.
    /// - A requirement of the layer and of a guard further in does not look at the realm: a scope of the same
    ///   name counts, whichever ring granted it. Give the rings other names of scopes, or compare the realm.
    /// - A ring that [asks about unknown keys](crate::KeyRingBuilder::unknown_keys) asks about the keys of
    ///   later rings too if they have a form that it imports. Make it the last.
    /// - Each ring has its own [`lookup_timeout`](crate::KeyRingBuilder::lookup_timeout). A request can wait
    ///   for their sum.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{Request, Response};
    /// use http_body_util::{BodyExt, Full};
    /// use tower::{Layer, ServiceExt};
    /// use tower_api_key::{ApiKeyLayer, Grant, KeyRing, VerifiedKey, store::MemoryStore};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let customers = KeyRing::builder("acme").realm("customers").build(MemoryStore::new())?;
    /// let staff = KeyRing::builder("acme_staff").realm("staff").build(MemoryStore::new())?;
    /// let keys = [
    ///     customers.issue(Grant::new("alice")).await?.into_secret(),
    ///     staff.issue(Grant::new("bob")).await?.into_secret(),
    /// ];
    ///
    /// let inner = tower::service_fn(|request: Request<()>| async move {
    ///     let key = VerifiedKey::of(request.extensions()).expect("authenticated");
    ///     let said = format!("{} of {}", key.subject(), key.realm());
    ///     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from(said)))
    /// });
    /// let service = ApiKeyLayer::new(customers).or(staff).layer(inner);
    ///
    /// for (key, said) in keys.iter().zip(["alice of customers", "bob of staff"]) {
    ///     let mut request = Request::new(());
    ///     request.headers_mut().insert("x-api-key", key.expose().parse()?);
    ///     let response = service.clone().oneshot(request).await?;
    ///     assert_eq!(response.into_body().collect().await?.to_bytes(), said);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn or(mut self, ring: impl Into<Verifier>) -> Self {
        self.others.push(OtherRing {
            ring: ring.into().into_ring(),
            required: None,
        });
        self
    }

    /// Accepts the keys of another ring too, as [`or`](Self::or) does, with a requirement of their own. They
    /// need to meet this one, and not that of the layer.
    ///
    /// If a layer that requires scopes in this way is [optional](Self::optional), it still needs a key.
    ///
    /// ```
    /// use tower_api_key::{ApiKeyLayer, KeyRing, store::MemoryStore};
    ///
    /// let customers = KeyRing::builder("acme").realm("customers").build(MemoryStore::new())?;
    /// let staff = KeyRing::builder("acme_staff").realm("staff").build(MemoryStore::new())?;
    /// let layer = ApiKeyLayer::new(customers)
    ///     .require("orders:write")
    ///     .or_requiring(staff, "support");
    /// let realms: Vec<&str> = layer.realms().map(|realm| realm.as_str()).collect();
    /// assert_eq!(realms, ["customers", "staff"]);
    /// # Ok::<(), tower_api_key::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// As [`require`](Self::require).
    #[track_caller]
    pub fn or_requiring(
        mut self,
        ring: impl Into<Verifier>,
        requirement: impl IntoRequirement,
    ) -> Self {
        self.others.push(OtherRing {
            ring: ring.into().into_ring(),
            required: Some(Requirement::of_route(requirement)),
        });
        self
    }

    /// The realms whose keys the layer accepts, in the order in which they are asked.
    pub fn realms(&self) -> impl Iterator<Item = &Realm> {
        self.rings().map(KeyRing::realm)
    }

    pub(super) fn rings(&self) -> impl Iterator<Item = &KeyRing> {
        let others = self.others.iter().map(|other| &other.ring);
        std::iter::once(&self.ring).chain(others)
    }
}
