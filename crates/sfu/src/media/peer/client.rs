//! A client: the endpoint of a person on this bridge.

use crate::media::ids::EndpointId;
use crate::media::spec::EndpointSpec;

/// See the module. Its link has the same number.
#[derive(Debug)]
pub(crate) struct Client {
    id: EndpointId,
    private_addresses: bool,
}

impl Client {
    pub(crate) fn new(spec: &EndpointSpec) -> Self {
        Self {
            id: spec.id.clone(),
            private_addresses: spec.private_addresses,
        }
    }

    pub(crate) fn id(&self) -> &EndpointId {
        &self.id
    }

    /// It may be given private addresses as candidates.
    pub(crate) fn takes_private_addresses(&self) -> bool {
        self.private_addresses
    }
}
