//! What a document says of a layer.

use super::gate::OnRefusal;
use super::layer::ApiKeyLayer;
use crate::access::requirement::Requirement;
use crate::middleware::credential::Sources;
use crate::middleware::guard::routes::RouteTable;
use crate::middleware::rejection::StatusProfile;

/// What a document says of a layer.
pub(crate) struct Documented<'a> {
    pub(crate) routes: Option<&'a RouteTable>,
    pub(crate) sources: &'a Sources,
    pub(crate) profile: StatusProfile,
    pub(crate) has_responder: bool,
    /// Whether something else may authenticate a client.
    pub(crate) hands_on: bool,
    /// Whether responses say when their key ends.
    pub(crate) announces_ends: bool,
    /// What each ring requires of its keys at every route.
    pub(crate) required: Vec<Option<&'a Requirement>>,
}

impl ApiKeyLayer {
    pub(crate) fn documented(&self) -> Documented<'_> {
        let of_layer = self.required.as_ref();
        let others = self.others.iter();
        let others = others.map(|other| other.required.as_ref().or(of_layer));
        Documented {
            routes: self.routes.as_ref(),
            sources: &self.sources,
            profile: self.profile,
            has_responder: self.responder.is_some(),
            hands_on: self.on_refusal == OnRefusal::HandOn,
            announces_ends: self.announced().is_some(),
            required: std::iter::once(of_layer).chain(others).collect(),
        }
    }
}
