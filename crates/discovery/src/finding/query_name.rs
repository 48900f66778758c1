//! Converts names to and from the resolver's type.

use hickory_resolver::proto::rr::Name;

use super::error::FindError;
use crate::name::DnsName;

pub(super) fn question(name: &DnsName) -> Result<Name, FindError> {
    let labels = name.wire().iter().filter(|label| !label.is_root()).map(|label| label.as_slice().to_vec());
    let unusable = |error| FindError::Unusable { name: name.to_string(), cause: format!("{error}") };
    let mut name = Name::from_labels(labels).map_err(unusable)?;
    name.set_fqdn(true);
    Ok(name)
}

/// `None` where the name is longer than DNS allows; the resolver refuses such a name already.
pub(super) fn name_of(name: &Name) -> Option<DnsName> {
    let mut wire = Vec::new();
    for label in name.iter() {
        wire.push(u8::try_from(label.len()).ok()?);
        wire.extend_from_slice(label);
    }
    wire.push(0);
    domain::base::Name::from_octets(wire).ok().map(|name| DnsName::from_wire(&name))
}
