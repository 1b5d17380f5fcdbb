//! What an address about webhooks names.

use super::call::Call;
use crate::domain::ids::{DeliveryId, HookId};
use crate::error::{Result, What};
use crate::registry::access::HooksOf;

/// Whose webhooks the address is about: those of the organization it names, or else of the user who is signed in.
///
/// # Errors
/// As [`Call::part`].
pub fn hooks_of(call: &Call) -> Result<HooksOf> {
    let pattern = call.req.match_pattern().unwrap_or_default();
    match pattern.split('/').any(|segment| segment == "{org}") {
        true => Ok(HooksOf::Organization(call.part("org", What::Organization)?)),
        false => Ok(HooksOf::SignedInUser),
    }
}

/// The webhook.
///
/// # Errors
/// As [`Call::part`].
pub fn hook_id(call: &Call) -> Result<HookId> {
    Ok(HookId(call.part("hook", What::Hook)?))
}

/// The webhook, and the delivery of it.
///
/// # Errors
/// As [`Call::part`].
pub fn delivery_ids(call: &Call) -> Result<(HookId, DeliveryId)> {
    Ok((hook_id(call)?, DeliveryId(call.part("delivery", What::Delivery)?)))
}
